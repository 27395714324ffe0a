"""How a version is called: one working request for each protocol, made from the columns that it learned."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

# The tensor type of a column by its type in the data set; what is not here is BYTES.
DATATYPES = {"integer": "INT64", "real": "FP64", "boolean": "BOOL"}
JSON = "application/json"


def inputs_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns that a version reads, in the order of training."""
    return [column for column in manifest["inputs"] if column["role"] != "left_out"]


def example_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a client may send it: the first value of each column that training saw."""
    return {column["name"]: column["example"] for column in inputs_of(manifest)}


def calls_of(reference: str, manifest: Mapping[str, Any], server: str) -> list[dict[str, str]]:
    """The calls, of a server with this URL; `curl` runs in a shell where MAAS_KEY holds a key."""
    row, inputs = example_of(manifest), inputs_of(manifest)
    model = quote(reference, safe="@")
    tensors = [
        {"name": c["name"], "datatype": DATATYPES.get(c["type"], "BYTES"), "shape": [1], "data": [c["example"]]}
        for c in inputs
    ]
    return [
        _call(server, "native", f"/v1/models/{model}/predict", JSON, _json({"rows": [row]})),
        _call(server, "csv", f"/v1/models/{model}/predict", "text/csv", _csv(list(row), list(row.values()))),
        _call(server, "open-inference", f"/v2/models/{model}/infer", JSON, _json({"inputs": tensors})),
        _call(server, "mlflow", f"/invocations?model={model}", JSON, _json({"dataframe_records": [row]})),
        _call(server, "kserve", f"/v1/models/{model}:predict", JSON, _json({"instances": [row]})),
    ]


def _call(server: str, protocol: str, path: str, content_type: str, body: str) -> dict[str, str]:
    url = server + path
    # One line, so that it can be pasted; everything that comes from the data is quoted.
    told = shlex.join(["-H", f"Content-Type: {content_type}", url, "--data-raw", body])
    curl = f'curl -sS --fail-with-body -H "Authorization: Bearer $MAAS_KEY" {told}'
    return {"protocol": protocol, "url": url, "curl": curl}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _csv(*lines: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
