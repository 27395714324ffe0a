"""Compressed uploads are read as what they hold, and no compression hides a fault."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pytest

from app.datasets.reading.compressed import CHUNK_BYTES
from app.errors import TooLarge, UnsupportedMedia
from tests.datasets.reading import IngestLimits, parquet, read, refusal

CSV = b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i % 7) for i in range(1_000))
ROWS = read(CSV).rows


def zstd(content: bytes) -> bytes:
    """One frame of zstd."""
    found: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return found


COMPRESS = {"gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_table_is_read_as_what_it_holds(compression: str) -> None:
    table = read(COMPRESS[compression](CSV), "")
    assert table.rows == ROWS
    assert table.answer["details"]["compression"] == compression
    assert (table.answer["details"]["format"], table.answer["details"]["delimiter"]) == ("csv", ",")


@pytest.mark.parametrize("compression", COMPRESS)
def test_members_one_after_another_are_one_file(compression: str) -> None:
    compress = COMPRESS[compression]
    assert read(compress(CSV[:500]) + compress(CSV[500:]), "").rows == ROWS


def test_the_inner_name_and_the_inner_bytes_tell_the_inner_format() -> None:
    rows = [{"a": 1}, {"a": 2}]
    assert read(gzip.compress(b"a\tb,c\n1\t2\n"), "", filename="x.tsv.gz").rows == [{"a": 1, "b,c": 2}]
    assert read(gzip.compress(json.dumps(rows).encode()), "").rows == rows
    assert read(gzip.compress(parquet(pa.table({"a": [1, 2]}))), "").rows == rows
    assert read(gzip.compress(json.dumps(rows).encode()), "", filename="x.json", content_encoding="gzip").rows == rows


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_file_cut_anywhere_is_refused(compression: str) -> None:
    whole = COMPRESS[compression](CSV)
    for length in range(4, len(whole), 53):
        assert refusal(whole[:length], compression).code == "dataset-invalid"


@pytest.mark.parametrize("compression", COMPRESS)
def test_junk_behind_a_compressed_file_is_refused(compression: str) -> None:
    assert "cannot be decompressed" in refusal(COMPRESS[compression](CSV) + b"junk", compression).detail


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_bomb_stops_at_the_limit(compression: str) -> None:
    bomb = COMPRESS[compression](b"a\n" + b"1\n" * (50 * CHUNK_BYTES))
    assert len(bomb) < CHUNK_BYTES
    with pytest.raises(TooLarge, match="decompresses to over 10,485,760 bytes"):
        read(bomb, "", limits=IngestLimits(decoded_bytes=10 * CHUNK_BYTES))


@pytest.mark.parametrize("outer", COMPRESS)
@pytest.mark.parametrize("inner", COMPRESS)
def test_what_is_compressed_twice_is_refused(outer: str, inner: str) -> None:
    with pytest.raises(UnsupportedMedia, match="compressed more than once"):
        read(COMPRESS[outer](COMPRESS[inner](CSV)), "")


@pytest.mark.parametrize(
    ("content", "said"), [(b"\x80\x04\x95.", "a pickle"), (b"\x89PNG\r\n", "PNG"), (b"BZh91AY&SY\0", "bzip2")]
)
def test_compression_hides_nothing(content: bytes, said: str) -> None:
    with pytest.raises(UnsupportedMedia, match=said):
        read(gzip.compress(content), "", filename="x.csv.gz")


def test_a_fault_inside_is_told_as_without_compression() -> None:
    assert refusal(gzip.compress(b"a,b\n1\n"), "").errors == refusal(b"a,b\n1\n").errors
    assert "empty" in refusal(gzip.compress(b""), "gzip").detail
    broken = parquet(pa.table({"a": [1]}))[:-9]
    assert "cannot be read as parquet" in refusal(gzip.compress(broken), "").detail
