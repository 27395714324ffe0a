"""Undo the compression around an uploaded table, within the limit on decoded bytes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Protocol

from app.datasets.limits import IngestLimits, invalid
from app.errors import TooLarge

CHUNK_BYTES = 2**20


class Readable(Protocol):
    """What bytes come out of."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def decompress(path: Path, compression: str, limits: IngestLimits) -> Path:
    """A decompressed copy in the current folder.

    Raises Invalid for streams that are damaged or cut, TooLarge when they hold more than the limit.
    """
    copy = Path("decompressed")
    try:
        if compression == "gzip":
            with gzip.open(path) as stream:
                _copy(stream, copy, limits)
        else:
            _copy_zstd(path, copy, limits)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _damaged(compression) from None
    return copy


def _copy_zstd(path: Path, copy: Path, limits: IngestLimits) -> None:
    # Only files compressed like this come here, and the import takes longer than reading a small file.
    import pyarrow

    pyarrow.set_io_thread_count(1)
    with pyarrow.OSFile(str(path)) as file, pyarrow.CompressedInputStream(file, "zstd") as stream:
        _copy(_Decoded(stream), copy, limits)


class _Decoded:
    """A stream of pyarrow's, whose faults are told from those of the disk."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except OSError:
            raise _damaged("zstd") from None


def _copy(stream: Readable, copy: Path, limits: IngestLimits) -> None:
    size_bytes = 0
    with copy.open("wb") as target:
        while chunk := stream.read(CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > limits.decoded_bytes:
                raise TooLarge(f"The file decompresses to over {limits.decoded_bytes:,} bytes, which is the limit.")
            target.write(chunk)


def _damaged(compression: str) -> Exception:
    return invalid(f"The file is damaged or cut: it cannot be decompressed as {compression}.")
