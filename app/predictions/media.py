"""Predictions as files: rows in CSV, Parquet or an Arrow stream, answers as columns in any of these."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request

from app.datasets.limits import IngestLimits
from app.datasets.process import Work, run
from app.errors import Invalid, NotAcceptable
from app.learning.runtime import Prediction
from app.predictions.protocols import delimited
from app.predictions.protocols.questions import Question, of_matrix
from app.predictions.protocols.refusals import CODE, check_num_rows
from app.settings import MIB, Settings

JSON, CSV = "application/json", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
FORMATS = {PARQUET: "parquet", ARROW: "arrow"}
TABLES = (CSV, PARQUET, ARROW)
ANSWERS = (JSON, *TABLES)
WALL_SECONDS, MEMORY_BYTES = 30.0, 512 * MIB


async def read_table(request: Request, body: bytes) -> Question | None:
    """The rows of a body that is a file, or None when its Content-Type names none. Raises: Invalid; TooLarge."""
    settings: Settings = request.app.state.settings
    kind = content_type(request.headers)
    if kind == CSV:
        return await run_in_threadpool(lambda: delimited.read(body, max_rows=settings.max_predict_rows))
    if kind in FORMATS:
        return await run_in_threadpool(_decode, body, FORMATS[kind], settings)
    return None


def content_type(headers: Headers) -> str:
    """The media type that a request says its body has."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def wanted(headers: Headers) -> str:
    """The media type of the answer: the first one in Accept that can be written. Raises: NotAcceptable."""
    accepted = headers.get("accept")
    if accepted is None:
        return JSON
    for each in accepted.split(","):
        kind = each.partition(";")[0].strip().lower()
        if kind in ANSWERS:
            return kind
        if kind in ("*/*", "application/*"):
            return JSON
    raise NotAcceptable(f"Predictions are answered as {', '.join(ANSWERS)}.")


def _decode(body: bytes, format: str, settings: Settings) -> Question:
    """A file whose few bytes may stand for gigabytes is decoded as uploads are: in a confined child, within limits."""
    limits = IngestLimits(
        wall_seconds=WALL_SECONDS,
        cpu_seconds=int(WALL_SECONDS),
        memory_bytes=MEMORY_BYTES,
        decoded_bytes=MEMORY_BYTES,
        rows=settings.max_predict_rows,
    )
    failure = f"The body cannot be read as {format}."
    folder = settings.data_dir
    with tempfile.NamedTemporaryFile(prefix="predicting-", dir=folder) as source:
        source.write(body)
        source.flush()
        work = Work("decode", {"format": format}, {"source": Path(source.name)}, failure=failure)
        try:
            found = run(work, folder=folder, limits=limits, sandbox=settings.sandbox)
        except Invalid as error:
            raise Invalid(error.detail, code=CODE, errors=error.errors) from None
    data = found.get("data")
    check_num_rows(len(data) if isinstance(data, list) else 0, settings.max_predict_rows)
    return of_matrix(found.get("columns"), data, "", max_rows=settings.max_predict_rows)


def draw(kind: str, predictions: Sequence[Prediction]) -> bytes:
    """The answers as a table in a media type: a column for each member, and for the probability of each class."""
    columns = _columns(predictions)
    if kind == CSV:
        text = io.StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()
    # The API process starts without pyarrow; the first answer of this kind brings it in.
    import pyarrow.ipc
    import pyarrow.parquet

    table = pyarrow.table(columns)
    sink = io.BytesIO()
    if kind == PARQUET:
        pyarrow.parquet.write_table(table, sink)
    else:
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def _columns(predictions: Sequence[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    names = dict.fromkeys(name for prediction in predictions for name in prediction)
    for name in names:
        if name == "probabilities":
            classes = dict.fromkeys(each for prediction in predictions for each in prediction[name])
            for each in classes:
                columns[f"probabilities.{each}"] = [prediction[name].get(each) for prediction in predictions]
        elif name in ("warnings", "set", "interval"):
            columns[name] = [orjson.dumps(prediction[name]).decode() for prediction in predictions]
        else:
            columns[name] = [prediction[name] for prediction in predictions]
    return columns
