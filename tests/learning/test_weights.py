"""Weights files: durable, exact, and refused when they are not what they claim to be."""

from __future__ import annotations

import errno
import json
import resource
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from app.learning import weights
from app.learning.errors import InvalidWeights


def file_of(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def tensor_entry(start: int = 0, end: int = 4) -> dict[str, object]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [start, end]}


def test_tensors_come_back_bit_by_bit_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.randn(3, 4), "b": torch.arange(5), "c": torch.randn(2, dtype=torch.float64)}
    written = weights.write(tmp_path / "w.safetensors", tensors)
    found = weights.read(tmp_path / "w.safetensors", digest=written["sha256"])
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    assert written["sha256"] == sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert written["size_bytes"] == (tmp_path / "w.safetensors").stat().st_size


def test_a_flipped_bit_does_not_match_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    digest = weights.write(path, {"a": torch.randn(8)})["sha256"]
    payload = bytearray(path.read_bytes())
    payload[-3] ^= 4
    path.write_bytes(payload)
    with pytest.raises(InvalidWeights, match="digest"):
        weights.read(path, digest=digest)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"\x80\x04\x95pickle",
        lambda: (10**12).to_bytes(8, "little") + b"{}",
        lambda: file_of(b"[" * 100_000),
        lambda: file_of(b"not json"),
        lambda: file_of([1]),
        lambda: file_of({"../x": tensor_entry()}, b"\0" * 4),
        lambda: file_of(('{"a":ENTRY,"a":ENTRY}'.replace("ENTRY", json.dumps(tensor_entry()))).encode(), b"\0" * 4),
        lambda: file_of({f"t{i}": tensor_entry(0, 0) for i in range(10_001)}),
        lambda: file_of({"a": tensor_entry(0, 8)}, b"\0" * 4),
        lambda: file_of({"a": tensor_entry()}, b"\0\0\xc0\x7f"),
    ],
    ids=["empty", "pickle", "long", "deep", "text", "list", "name", "twice", "many", "offsets", "nan"],
)
def test_a_file_that_is_not_what_it_claims_is_refused(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(make())
    with pytest.raises(InvalidWeights):
        weights.read(path)


def test_a_full_disk_is_told_as_the_system_tells_it_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    weights.write(path, {"w": torch.zeros(3)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to let a file grow beyond the limit, as a full disk does.
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="os error") as told:
            weights.write(path, {"w": torch.zeros(1 << 20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert told.value.errno == errno.EFBIG
    assert weights.read(path)["w"].shape == (3,)
