"""Tensors of the Open Inference Protocol: a JSON description whose data is JSON or raw little-endian bytes.

Raw numbers stay arrays from the wire to the model. A BYTES element is its length in four bytes, then UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.errors import shown
from app.predictions.protocols.refusals import refused

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
DATATYPES = (*DTYPES, "BYTES")
MAX_DIMENSIONS = 2
MAX_NAME = 256
LENGTH = struct.Struct("<I")

Elements = list[Any] | NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """A named tensor: its elements in row-major order, as many as the shape says."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    elements: Elements

    @property
    def num_rows(self) -> int:
        """The length of its first dimension."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """How many elements a row has."""
        return self.shape[1] if len(self.shape) > 1 else 1


def read_tensor(described: Any, pointer: str, raw: memoryview | None) -> Tensor:
    """The tensor that a JSON object describes, its elements from `raw` where it has `binary_data_size`.

    Raises: Invalid pointing at what is wrong with it.
    """
    if not isinstance(described, dict):
        raise refused(pointer, "expected an object with name, datatype, shape and data")
    name, datatype = described.get("name"), described.get("datatype")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise refused(f"{pointer}/name", "expected the name of a tensor")
    if datatype not in DATATYPES:
        raise refused(f"{pointer}/datatype", f"expected one of {', '.join(DATATYPES)}, got {shown(datatype)}")
    shape = _shape(described.get("shape"), f"{pointer}/shape")
    if raw is not None:
        elements = _from_bytes(raw, datatype, shape, pointer)
    else:
        elements = _flat(described.get("data"), shape, f"{pointer}/data")
        _check_kind(elements, datatype, shape, f"{pointer}/data")
    return Tensor(name, datatype, shape, elements)


def _shape(shape: Any, pointer: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise refused(pointer, "expected [rows] or [rows, columns]")
    for place, size in enumerate(shape):
        if type(size) is not int or not 0 < size < 2**31:
            raise refused(f"{pointer}/{place}", f"expected a positive integer, got {shown(size)}")
    return tuple(shape)


def _flat(data: Any, shape: tuple[int, ...], pointer: str) -> list[Any]:
    """JSON data, nested as its shape or flat, as a flat list."""
    if not isinstance(data, list):
        raise refused(pointer, "expected an array")
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    if len(shape) > 1 and data and isinstance(data[0], list):
        if len(data) != shape[0]:
            raise refused(pointer, f"the shape says {shape[0]} rows, there are {len(data)}")
        for row, inside in enumerate(data):
            if not isinstance(inside, list) or len(inside) != shape[1]:
                raise refused(f"{pointer}/{row}", f"expected an array of {shape[1]} values")
        return [value for inside in data for value in inside]
    if len(data) != count:
        raise refused(pointer, f"the shape says {count} values, there are {len(data)}")
    return data


def _check_kind(elements: list[Any], datatype: str, shape: tuple[int, ...], pointer: str) -> None:
    if datatype == "BYTES":
        kinds: set[type] = {str}
    elif datatype == "BOOL":
        kinds = {bool}
    else:
        kinds = {int} if datatype.startswith(("INT", "UINT")) else {int, float}
    kinds.add(type(None))
    if not kinds.issuperset(map(type, elements)):
        place = next(place for place, value in enumerate(elements) if type(value) not in kinds)
        raise refused(at(pointer, place, shape), f"expected {datatype}, got {shown(elements[place])}")
    if int in kinds and float not in kinds:
        bounds = np.iinfo(DTYPES[datatype])
        for place, value in enumerate(elements):
            if value is not None and not bounds.min <= value <= bounds.max:
                raise refused(at(pointer, place, shape), f"{shown(value)} is no {datatype}")


def at(pointer: str, place: int, shape: tuple[int, ...]) -> str:
    """The pointer to an element by its place in row-major order, through as many dimensions as there are."""
    return f"{pointer}/{place}" if len(shape) == 1 else f"{pointer}/{place // shape[1]}/{place % shape[1]}"


def _from_bytes(raw: memoryview, datatype: str, shape: tuple[int, ...], pointer: str) -> Elements:
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    size = f"{pointer}/parameters/binary_data_size"
    if datatype == "BYTES":
        return _read_strings(raw, count, size)
    if len(raw) != count * DTYPES[datatype].itemsize:
        raise refused(size, f"{count} values of {datatype} are not {len(raw)} bytes")
    if datatype == "BOOL":
        return [byte != 0 for byte in raw]
    return np.frombuffer(raw, DTYPES[datatype])


def _read_strings(raw: memoryview, count: int, pointer: str) -> list[str]:
    strings, offset = [], 0
    for place in range(count):
        end = offset + LENGTH.size
        if end <= len(raw):
            offset, end = end, end + LENGTH.unpack_from(raw, offset)[0]
        if end > len(raw):
            raise refused(pointer, f"the bytes end within element {place} of {count}")
        try:
            strings.append(str(raw[offset:end], "utf-8"))
        except UnicodeDecodeError:
            raise refused(pointer, f"element {place} is not UTF-8") from None
        offset = end
    if offset != len(raw):
        raise refused(pointer, f"{count} elements take {offset} bytes, there are {len(raw)}")
    return strings


def to_bytes(elements: Sequence[Any] | NDArray[Any], datatype: str) -> bytes:
    """The elements of an output as raw bytes."""
    if datatype != "BYTES":
        return np.asarray(elements, DTYPES[datatype]).tobytes()
    # Few are different: labels, and rows without a warning.
    packed = {element: _packed(element.encode()) for element in set(elements)}
    return b"".join(map(packed.__getitem__, elements))


def _packed(element: bytes) -> bytes:
    return LENGTH.pack(len(element)) + element
