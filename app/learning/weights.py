"""Named arrays in safetensors files: written durably, read with our own limits.

safetensors checks structure only: names, counts, repeated keys, NaN and flipped bits are for us to refuse.
Deterministic: equal tensors give equal bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from app.learning.errors import InvalidWeights

MAX_HEADER_BYTES = 4_000_000
MAX_TENSORS = 10_000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")
LENGTH_BYTES = 8

Tensors = dict[str, torch.Tensor]


def write(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Write tensors so that the file is whole or absent; returns its path, sha256 and size_bytes."""
    payload = serialise({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    return write_bytes(path, payload)


def write_bytes(path: Path, payload: bytes) -> dict[str, Any]:
    """Write to a temporary file, sync it, rename it, sync the folder."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return {"path": str(path), "sha256": sha256(payload).hexdigest(), "size_bytes": len(payload)}


def read(path: Path, *, digest: str | None = None) -> Tensors:
    """Return the tensors of a file.

    Raises: InvalidWeights when the digest differs, the header breaks a limit, or a number is not finite.
    """
    payload = path.read_bytes()
    if digest is not None and sha256(payload).hexdigest() != digest:
        raise InvalidWeights("The file does not match its digest.")
    _check_header(payload)
    try:
        tensors: Tensors = parse(payload)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InvalidWeights("The file is not valid safetensors.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidWeights(f"Tensor {name} holds a number that is not finite.")
    return tensors


def _check_header(payload: bytes) -> None:
    length = int.from_bytes(payload[:LENGTH_BYTES], "little")
    if len(payload) < LENGTH_BYTES or length > min(MAX_HEADER_BYTES, len(payload) - LENGTH_BYTES):
        _refuse("its header is too long")
    try:
        header = json.loads(payload[LENGTH_BYTES : LENGTH_BYTES + length], object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        _refuse("its header is not JSON")
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        _refuse("it has too many tensors")
    for name in header:
        if name != "__metadata__" and not NAME.fullmatch(name):
            _refuse("it has a tensor with an impossible name")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        _refuse("a name occurs twice in its header")
    return dict(pairs)


def _refuse(reason: str) -> NoReturn:
    raise InvalidWeights(f"The weights file is refused: {reason}.")
