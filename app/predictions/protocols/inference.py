"""The Open Inference Protocol, version 2: tensors by column, or one of all columns, in JSON and in raw bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.errors import Malformed
from app.learning.errors import InputError, shown
from app.learning.notes import Warned
from app.learning.runtime import Prediction, Predictor
from app.learning.tasks import Label
from app.learning.values import Cells, Matrix
from app.predictions.loaded import Loadable
from app.predictions.protocols.refusals import check_num_rows, refused, unanswerable
from app.predictions.protocols.tensors import Tensor, at, read_tensor, to_bytes

HEADER_LENGTH = "inference-header-content-length"
# Columns of these types can stand side by side in one tensor of numbers.
NUMBERS = frozenset({"integer", "real", "boolean"})
MAX_ID = 256


@dataclass(frozen=True)
class Wanted:
    """An output that the client wants, in raw bytes or in JSON."""

    name: str
    is_binary: bool


@dataclass(frozen=True)
class Inference:
    """A request: tensors, or the bytes of rows in raw form; no outputs wanted means all."""

    id: str | None
    tensors: tuple[Tensor, ...]
    raw: memoryview | None
    wanted: tuple[Wanted, ...] | None
    is_binary: bool

    @property
    def num_rows(self) -> int:
        """How many rows it holds; in raw form, how many if they had one number each."""
        return self.tensors[0].num_rows if self.raw is None else len(self.raw) // 8


def split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a body and the raw bytes behind it, by the header that says where one ends.

    Raises: Malformed when the header is no length within the body.
    """
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdecimal() or len(header_length) > 12 or int(header_length) > len(body):
        detail = f"Inference-Header-Content-Length is no length of a JSON header in these {len(body)} bytes."
        raise Malformed(detail, errors=[{"pointer": f"header:{HEADER_LENGTH}", "detail": detail}])
    end = int(header_length)
    return body[:end], memoryview(body)[end:]


def read_raw(raw: memoryview) -> Inference:
    """A request in raw form: no JSON, and an answer with raw bytes."""
    return Inference(None, (), raw, None, is_binary=True)


def read(described: Any, raw: memoryview, *, max_rows: int) -> Inference:
    """A request from its JSON and the bytes behind it. Raises: Invalid pointing at what is wrong; TooLarge."""
    if not isinstance(described, dict):
        raise refused("/", "expected an object with inputs")
    parameters = _parameters(described, "")
    inputs = described.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise refused("/inputs", "expected an array with at least one tensor")
    tensors: list[Tensor] = []
    offset = 0
    for index, each in enumerate(inputs):
        pointer = f"/inputs/{index}"
        size = _binary_size(each, pointer, len(raw) - offset)
        tensor = read_tensor(each, pointer, None if size is None else raw[offset : offset + size])
        offset += size or 0
        check_num_rows(tensor.num_rows, max_rows)
        if tensor.num_rows != (tensors or [tensor])[0].num_rows:
            raise refused(f"{pointer}/shape/0", f"expected {tensors[0].num_rows} rows, as in the first input")
        if tensor.name in {other.name for other in tensors}:
            raise refused(f"{pointer}/name", f"{shown(tensor.name)} is given twice")
        tensors.append(tensor)
    if offset != len(raw):
        raise refused("/inputs", f"the inputs take {offset} raw bytes, there are {len(raw)}")
    return Inference(
        _id(described), tuple(tensors), None, _wanted(described), parameters.get("binary_data_output") is True
    )


def _parameters(described: dict[str, Any], pointer: str) -> dict[str, Any]:
    parameters = described.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise refused(f"{pointer}/parameters", "expected an object")
    return parameters


def _binary_size(described: Any, pointer: str, left: int) -> int | None:
    parameters = _parameters(described, pointer) if isinstance(described, dict) else {}
    if "binary_data_size" not in parameters:
        return None
    size, place = parameters["binary_data_size"], f"{pointer}/parameters/binary_data_size"
    if described.get("data") is not None:
        raise refused(f"{pointer}/data", "a tensor has either data or binary_data_size")
    if type(size) is not int or size < 0:
        raise refused(place, f"expected a number of bytes, got {shown(size)}")
    if size > left:
        raise refused(place, f"{size} bytes are said to follow, {left} do")
    return size


def _id(described: dict[str, Any]) -> str | None:
    given = described.get("id")
    if given is not None and (not isinstance(given, str) or len(given) > MAX_ID):
        raise refused("/id", f"expected a string of at most {MAX_ID} characters")
    return given or None


def _wanted(described: dict[str, Any]) -> tuple[Wanted, ...] | None:
    outputs = described.get("outputs")
    if outputs is None or outputs == []:
        return None
    if not isinstance(outputs, list):
        raise refused("/outputs", "expected an array")
    wanted = []
    for index, each in enumerate(outputs):
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise refused(f"/outputs/{index}", "expected an object with name")
        parameters = _parameters(each, f"/outputs/{index}")
        is_binary = parameters.get("binary_data", _parameters(described, "").get("binary_data_output"))
        wanted.append(Wanted(each["name"], is_binary is True))
    return tuple(wanted)


def answer(
    inference: Inference, predictor: Predictor, *, max_rows: int
) -> tuple[np.ndarray[Any, Any], list[list[Warned]]]:
    """The model's answers y_BK and the warnings of each row. Raises: Invalid pointing into the tensors."""
    tensors = inference.tensors or (_raw_tensor(inference.raw or memoryview(b""), predictor, max_rows),)
    columns, places = _columns(tensors, predictor)

    def pointer(row: int, column: str | None) -> str:
        if column is not None and column not in places:
            return "/inputs"
        index, start, step, shape = places[column] if column is not None else (0, 0, tensors[0].width, tensors[0].shape)
        return at(f"/inputs/{index}/data", start + row * step, shape)

    try:
        return predictor.answer_columns(columns, tensors[0].num_rows, pointer)
    except InputError as error:
        raise unanswerable(error) from None


Place = tuple[int, int, int, tuple[int, ...]]


def _columns(tensors: tuple[Tensor, ...], predictor: Predictor) -> tuple[Mapping[str, Cells], dict[str, Place]]:
    """The columns in tensors, and for each: its tensor, the place of its first element, the step to the next, shape."""
    preparation = predictor.preparation
    if len(tensors) == 1 and tensors[0].name not in preparation.known_names:
        tensor, names = tensors[0], preparation.input_names
        if not all(column.stored in NUMBERS for column in preparation.inputs):
            detail = "the model has no such column, and one tensor of all columns is for models of numbers only"
            raise refused("/inputs/0/name", detail)
        if tensor.width != len(names):
            raise refused("/inputs/0/shape", f"expected [rows, {len(names)}], got {list(tensor.shape)}")
        elements = tensor.elements
        columns: Mapping[str, Cells] = (
            Matrix(names, elements.reshape(tensor.shape))
            if isinstance(elements, np.ndarray)
            else {name: elements[place :: tensor.width] for place, name in enumerate(names)}
        )
        return columns, {name: (0, place, tensor.width, tensor.shape) for place, name in enumerate(names)}
    for index, tensor in enumerate(tensors):
        if tensor.width != 1:
            raise refused(f"/inputs/{index}/shape", f"expected [rows] or [rows, 1], got {list(tensor.shape)}")
    places = {tensor.name: (index, 0, 1, tensor.shape) for index, tensor in enumerate(tensors)}
    return {tensor.name: tensor.elements for tensor in tensors}, places


def _raw_tensor(raw: memoryview, predictor: Predictor, max_rows: int) -> Tensor:
    """Rows of FP64 in the order of the columns, or the one text of a model with one such column."""
    names, inputs = predictor.preparation.input_names, predictor.preparation.inputs
    if len(inputs) == 1 and inputs[0].stored not in NUMBERS:
        try:
            return Tensor(names[0], "BYTES", (1,), [str(raw, "utf-8")])
        except UnicodeDecodeError:
            raise refused("/", "the body is not UTF-8") from None
    if not all(column.stored in NUMBERS for column in inputs):
        raise refused("/", "a body in raw form is for models of numbers only; send a tensor for each column")
    row_bytes = 8 * len(names)
    if not len(raw) or len(raw) % row_bytes:
        raise refused("/", f"expected rows of {len(names)} numbers, {row_bytes} bytes each; got {len(raw)} bytes")
    check_num_rows(len(raw) // row_bytes, max_rows)
    return Tensor("", "FP64", (len(raw) // row_bytes, len(names)), np.frombuffer(raw, "<f8"))


def draw(
    inference: Inference,
    model: Loadable,
    predictor: Predictor,
    y_BK: np.ndarray[Any, Any],
    warnings: list[list[Warned]],
    *,
    request_id: str,
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where raw bytes follow."""
    offered = outputs_of(predictor.classes)
    default = [name for name in offered if name != "warnings" or any(warnings)]
    wanted = inference.wanted or tuple(Wanted(name, inference.is_binary) for name in default)
    outputs, buffers = [], []
    for index, each in enumerate(wanted):
        if each.name not in offered:
            raise refused(f"/outputs/{index}/name", f"expected one of {', '.join(offered)}, got {shown(each.name)}")
        datatype, shape = offered[each.name]
        described: dict[str, Any] = {"name": each.name, "datatype": datatype, "shape": [len(y_BK), *shape[1:]]}
        elements = _elements(each.name, predictor, y_BK, warnings)
        if each.is_binary:
            buffers.append(to_bytes(elements, datatype))
            described["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            described["data"] = elements
        outputs.append(described)
    name, _, version = model.reference.partition("@")
    told = {} if model.snapshot is None else {"parameters": model.snapshot}
    document = {"model_name": name, "model_version": version, "id": inference.id or request_id, **told}
    header = orjson.dumps(document | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *buffers]), len(header)) if buffers else (header, None)


def native(
    inference: Inference, predictor: Predictor, y_BK: np.ndarray[Any, Any], warnings: list[list[Warned]]
) -> tuple[dict[str, Any], list[Prediction]]:
    """The body of a native request for the same rows, and its predictions."""
    tensors = inference.tensors or (_raw_tensor(inference.raw or memoryview(b""), predictor, len(y_BK)),)
    columns, _ = _columns(tensors, predictor)
    cells = [values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values()]
    return {"columns": list(columns), "data": list(zip(*cells, strict=True))}, predictor.tell(y_BK, warnings)


def outputs_of(classes: Sequence[Label]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The outputs of a model with these classes, or none: datatype and shape by name; -1 is the number of rows."""
    if not classes:
        return {"value": ("FP64", (-1,)), "warnings": ("BYTES", (-1,))}
    kind = "BOOL" if isinstance(classes[0], bool) else "INT64" if isinstance(classes[0], int) else "BYTES"
    return {"label": (kind, (-1,)), "probabilities": ("FP64", (-1, len(classes))), "warnings": ("BYTES", (-1,))}


def _elements(name: str, predictor: Predictor, y_BK: np.ndarray[Any, Any], warnings: list[list[Warned]]) -> Any:
    if name == "label":
        return [predictor.classes[best] for best in y_BK.argmax(axis=1).tolist()]
    if name == "warnings":
        return [orjson.dumps(warned).decode() for warned in warnings]
    return np.ascontiguousarray(y_BK).reshape(-1)
