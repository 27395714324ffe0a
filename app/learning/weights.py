"""Named arrays in safetensors files: written durably, read with our own limits.

safetensors checks structure only: names, counts, repeated keys, NaN and flipped bits are for us to refuse.
Deterministic: equal tensors give equal bytes.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save_file

from app.learning.errors import InvalidWeights

MAX_HEADER_BYTES = 4_000_000
MAX_TENSORS = 10_000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")
LENGTH_BYTES = 8
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")

Tensors = dict[str, torch.Tensor]


def write(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Write tensors, without a copy of them in memory, so that the file is whole or absent.

    Returns: its path, sha256 and size_bytes. Raises: OSError, as of a full disk.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:
        # It tells what the system said in words alone.
        number = SYSTEM_ERROR.search(str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    return _keep(temporary, path)


def write_bytes(path: Path, payload: bytes) -> dict[str, Any]:
    """Write bytes so that the file is whole or absent; returns its path, sha256 and size_bytes."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(payload)
    return _keep(temporary, path)


def _keep(temporary: Path, path: Path) -> dict[str, Any]:
    """Sync a written file, give it its name, sync the folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
        digest = file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return {"path": str(path), "sha256": digest, "size_bytes": size_bytes}


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
        if not is_finite(tensor):
            raise InvalidWeights(f"Tensor {name} holds a number that is not finite.")
    return tensors


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether no number is infinite or NaN; needs no memory for it."""
    return tensor.numel() == 0 or all(math.isfinite(end.item()) for end in torch.aminmax(tensor))


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
