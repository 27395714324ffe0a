"""One file for each row of the table of bad inputs in docs/reference/uploads.md."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tests.datasets.reading import parquet
from tests.datasets.workbooks import archive, error, formula, sheet, workbook

PARQUET, XLSX = "application/vnd.apache.parquet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
NDJSON, JSON, CSV, ANY = "application/x-ndjson", "application/json", "text/csv", "application/octet-stream"
# What the bombs below decode to is many times this; the tests set it as the limit.
DECODED_BYTES = 64 << 20


@dataclass(frozen=True)
class Bad:
    """A file and the type it is sent as; made only when it is needed."""

    make: Callable[[], bytes]
    content_type: str = CSV
    filename: str | None = None


def text(content: str, content_type: str = CSV) -> Bad:
    return Bad(content.encode, content_type)


def table() -> bytes:
    """A small table as Parquet."""
    return parquet(pa.table({"a": list(range(100)), "b": ["x"] * 100}))


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Payload:
    """An object whose pickle would write a file where it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("was-unpickled", "w")


def pickled(protocol: int = 4) -> bytes:
    return pickle.dumps(Payload(), protocol)


def npy_of_objects() -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled()


def parquet_bomb() -> bytes:
    words = pa.array(["x" * 1_000_000]).dictionary_encode().take(pa.array([0] * 2_000))
    return parquet(pa.table({"a": words}), compression="zstd")


def parquet_with_pickles() -> bytes:
    """Pickles in the metadata of the file and in the name and metadata of an extension type."""
    storage = pa.array([1, 2])
    marks = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled()}
    field = pa.field("a", storage.type, metadata=marks)
    return parquet(pa.Table.from_arrays([storage], schema=pa.schema([field], metadata={b"pandas": pickled()})))


def arrow() -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": [1]}))
    return buffer.getvalue()


def twice() -> bytes:
    return gzip.compress(gzip.compress(b"a\n1\n"))


def formulas() -> bytes:
    return workbook({"Data": [["a", "b"], [formula("1+1", 2), formula("1+1")], [3, error("#N/A")]]})


def far_apart() -> bytes:
    """A workbook with a cell in each of two opposite corners."""
    corner = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    return workbook({"Data": sheet([["a"]]).replace("</sheetData>", corner)})


BAD_INPUTS: dict[str, Bad] = {
    "empty": text(""),
    "header-only": text("a,b\n"),
    "one-row": text("a,b\n1,2\n"),
    "ragged": text("a,b\n1,2\n1,2,3\n"),
    "duplicate-names": text("a,b,a\n1,2,3\n"),
    "names-that-differ-in-case": text("a,A\n1,2\n"),
    "empty-names": text(",a\n0,1\n"),
    "numbers-as-header": text("1.5,2.5\n3,4\n"),
    "not-utf-8": Bad(lambda: "name\nRenée\n".encode("cp1252")),
    "not-utf-8-json": Bad(lambda: '{"name":"Renée"}\n'.encode("cp1252"), NDJSON),
    "not-the-utf-16-it-says": Bad(lambda: b"\xff\xfea\x00,"),
    "open-quote": text('a,b\n1,"x\n2,y\n'),
    "nul-bytes": text("a,b\n1,x\0y\n"),
    "many-columns": Bad(lambda: b",".join(b"c%d" % i for i in range(200_000)) + b"\n1\n"),
    "many-columns-json": Bad(
        lambda: json.dumps({f"{i:x}": 1 for i in range(200_000)}, separators=(",", ":")).encode(), NDJSON
    ),
    "long-line": Bad(lambda: b"a,b\n1," + b"x" * 3_000_000),
    "long-line-json": Bad(lambda: b'{"a":"' + b"x" * 3_000_000 + b'"}', NDJSON),
    "parquet-bomb": Bad(parquet_bomb, PARQUET),
    "gzip-bomb": Bad(lambda: gzip.compress(b"a\n" + b"1\n" * DECODED_BYTES), "application/gzip"),
    "zstd-bomb": Bad(lambda: pa.compress(b"a\n" + b"1\n" * DECODED_BYTES, "zstd", asbytes=True), "application/zstd"),
    "xlsx-bomb": Bad(lambda: workbook({"A": sheet([["a"], [1]], " " * (2 * DECODED_BYTES))}), XLSX),
    "npz-bomb": Bad(lambda: archive({"a.npy": npy(np.zeros(DECODED_BYTES // 4))}), ANY),
    "npy-that-promises-more": Bad(lambda: npy(np.zeros(10)).replace(b"(10,)", b"(99,)"), ANY),
    "far-apart-cells": Bad(far_apart, XLSX),
    "cut-parquet": Bad(lambda: table()[:-20], PARQUET),
    "cut-json-lines": text('{"a": 1}\n{"a": ', NDJSON),
    "cut-json": text('[{"a": 1}, {"a"', JSON),
    "cut-gzip": Bad(lambda: gzip.compress(b"a\n1\n" * 99)[:-9], "application/gzip"),
    "cut-xlsx": Bad(lambda: workbook({"A": [["a"], [1]]})[:-9], XLSX),
    "cut-npy": Bad(lambda: npy(np.zeros(9))[:-9], ANY),
    "cut-csv": text("a,b\n1,2\n3"),
    "image": Bad(lambda: b"\x89PNG\r\n\x1a\n", "image/png"),
    "image-as-csv": Bad(lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 99),
    "csv-as-parquet": text("a,b\n1,2\n", PARQUET),
    "csv-as-json": text("a,b\n1,2\n", JSON),
    "json-object": text('{"a": [1, 2], "b": [3, 4]}', JSON),
    "columns-and-data": text('{"columns": ["a"], "data": [[1], [2]]}', JSON),
    "pretty-json-as-lines": text('{\n  "a": 1\n}\n', NDJSON),
    "nested-json": text('{"a": {"b": 1}}\n', NDJSON),
    "nested-parquet": Bad(lambda: parquet(pa.table({"a": [[1]]})), PARQUET),
    "pickle": Bad(pickled, ANY),
    "pickle-as-csv": Bad(pickled),
    "pickle-of-text": Bad(lambda: pickled(0), ANY),
    "pickle-in-gzip": Bad(lambda: gzip.compress(pickled()), "application/gzip"),
    "pickle-in-npy": Bad(npy_of_objects, "application/x-npy"),
    "pickle-in-npz": Bad(lambda: archive({"a.npy": npy_of_objects()}), ANY),
    "pickle-of-torch": Bad(lambda: archive({"archive/data.pkl": pickled()}), ANY),
    "pickle-in-parquet": Bad(parquet_with_pickles, PARQUET),
    "arrow-ipc": Bad(arrow, ANY),
    "compressed-twice": Bad(twice, "application/gzip"),
    "bzip2": Bad(lambda: bz2.compress(b"a\n1\n"), ANY),
    "zip": Bad(lambda: archive({"a.csv": b"a\n1\n"}), ANY),
    "old-excel": Bad(lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504, ANY),
    "excel-with-macros": Bad(lambda: workbook({"A": [["a"], [1]]}, {"xl/vbaProject.bin": b"x"}), XLSX),
    "path-as-name": Bad(lambda: b"a\n1\n", CSV, "../../etc/passwd.csv"),
    "formula-cells": text("a\n=1+1\n\"+cmd|' /C calc'!A0\"\n"),
    "formulas-in-excel": Bad(formulas, XLSX),
    "beyond-int64": text("a\n99999999999999999999999\n1\n"),
    "beyond-float": text("a\n1e999\n1\n"),
    "beyond-float-json": text('{"a": 1e999}\n', NDJSON),
    "nan-in-json": text('{"a": NaN}\n', NDJSON),
    "infinity-in-parquet": Bad(lambda: parquet(pa.table({"a": [float("inf")]})), PARQUET),
}
