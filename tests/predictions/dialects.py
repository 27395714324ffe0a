"""The same rows in every protocol: how each sends them, what its answer says of them, and where it points."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.trained import ROW

Row = dict[str, Any]
NAMES = list(ROW)
CLASSES = ("Adelie", "Chinstrap", "Gentoo")
JSON = {"content-type": "application/json"}
LENGTH = "inference-header-content-length"
DATATYPES = {str: "BYTES", int: "INT64", float: "FP64"}


@dataclass(frozen=True)
class Dialect:
    """One protocol: where it is asked for a model, its body for rows, its predictions in an answer, its pointers."""

    path: str
    body: Callable[[Sequence[Row]], tuple[bytes, dict[str, str]]]
    pointer: Callable[[int, str], str]
    predictions: Callable[[Any], list[dict[str, Any]]] = lambda answer: answer.json()["predictions"]


def names_of(rows: Sequence[Row]) -> list[str]:
    """All columns that some row has, those of training first and in its order."""
    return list(dict.fromkeys([name for name in NAMES if any(name in row for row in rows)] + [*rows[0]]))


def place(column: str) -> int:
    """Where a column stands in full rows."""
    return NAMES.index(column)


def document(make: Callable[[Sequence[Row]], Any]) -> Callable[[Sequence[Row]], tuple[bytes, dict[str, str]]]:
    """A body of JSON."""
    return lambda rows: (json.dumps(make(rows)).encode(), JSON)


def split(rows: Sequence[Row]) -> dict[str, Any]:
    """Columns and arrays."""
    names = names_of(rows)
    return {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """An array for each column."""
    return {name: [row.get(name) for row in rows] for name in names_of(rows)}


def tensors(rows: Sequence[Row]) -> dict[str, Any]:
    """A tensor of JSON for each column, with the warnings asked for."""
    inputs = [
        {"name": name, "datatype": DATATYPES[type(ROW.get(name, ""))], "shape": [len(rows)], "data": values}
        for name, values in columns(rows).items()
    ]
    for each in inputs:
        if each["datatype"] == "INT64" and any(isinstance(value, float) for value in each["data"]):
            each["datatype"] = "FP64"
    return {"inputs": inputs, "outputs": [{"name": name} for name in ("label", "probabilities", "warnings")]}


def raw(rows: Sequence[Row]) -> tuple[bytes, dict[str, str]]:
    """A tensor of raw bytes for each column of numbers; where texts have gaps, JSON."""
    header, buffers = tensors(rows), []
    for each in header["inputs"]:
        values = each["data"]
        if each["datatype"] == "BYTES" or any(isinstance(value, str) for value in values):
            if not all(isinstance(value, str) for value in values):
                continue
            each["datatype"] = "BYTES"
            words = [value.encode() for value in values]
            buffers.append(b"".join(struct.pack("<I", len(word)) + word for word in words))
        else:
            each["datatype"] = "FP64"
            buffers.append(np.array([np.nan if value is None else value for value in values], "<f8").tobytes())
        del each["data"]
        each["parameters"] = {"binary_data_size": len(buffers[-1])}
    text = json.dumps(header).encode()
    return b"".join([text, *buffers]), {LENGTH: str(len(text))}


def outputs(answer: Any) -> list[dict[str, Any]]:
    """The outputs of tensors as native predictions."""
    found = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    width = len(CLASSES)
    return [
        {
            "label": label,
            "probabilities": dict(zip(CLASSES, found["probabilities"][row * width : (row + 1) * width], strict=True)),
            "warnings": json.loads(found["warnings"][row]),
        }
        for row, label in enumerate(found["label"])
    ]


def lines(rows: Sequence[Row]) -> tuple[bytes, dict[str, str]]:
    """CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    matrix = split(rows)
    writer.writerow(matrix["columns"])
    writer.writerows(matrix["data"])
    return text.getvalue().encode(), {"content-type": "text/csv"}


NATIVE = "/v1/models/{}/predict"
SCORING = "/invocations?model={}"
TENSORS = "/v2/models/{}/infer"
# Where JSON is sent; `raw` and `csv` have other ways to say the same, and to be wrong.
IN_JSON = {
    "rows": Dialect(NATIVE, document(lambda rows: {"rows": rows}), lambda r, c: f"/rows/{r}/{c}"),
    "matrix": Dialect(NATIVE, document(split), lambda r, c: f"/data/{r}/{place(c)}"),
    "tensors": Dialect(TENSORS, document(tensors), lambda r, c: f"/inputs/{place(c)}/data/{r}", outputs),
    "records": Dialect(
        SCORING, document(lambda rows: {"dataframe_records": rows}), lambda r, c: f"/dataframe_records/{r}/{c}"
    ),
    "split": Dialect(
        SCORING,
        document(lambda rows: {"dataframe_split": split(rows)}),
        lambda r, c: f"/dataframe_split/data/{r}/{place(c)}",
    ),
    "inputs": Dialect(SCORING, document(lambda rows: {"inputs": columns(rows)}), lambda r, c: f"/inputs/{c}/{r}"),
    "instances": Dialect(
        "/v1/models/{}:predict", document(lambda rows: {"instances": rows}), lambda r, c: f"/instances/{r}/{c}"
    ),
}  # fmt: skip
DIALECTS = IN_JSON | {
    "raw": Dialect(TENSORS, raw, lambda r, c: f"/inputs/{place(c)}/data/{r}", outputs),
    "csv": Dialect(NATIVE, lines, lambda r, c: f"/data/{r}/{place(c)}"),
}
