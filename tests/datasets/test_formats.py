"""The format of an upload follows from its declared type, its name and its first bytes."""

from __future__ import annotations

import pytest

from app.datasets.ingest import sniff_format
from app.errors import Invalid, UnsupportedMedia

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content_type", "filename", "head", "found"),
    [
        ("text/csv", None, b"a,b\n", "csv"),
        ("text/csv; charset=utf-8", "x.json", b"a,b\n", "csv"),
        ("Text/CSV", None, b"", "csv"),
        ("text/tab-separated-values", None, b"a\tb\n", "tsv"),
        ("application/x-ndjson", None, b'{"a":1}', "ndjson"),
        ("application/jsonl", None, b'{"a":1}', "ndjson"),
        ("application/json", None, b'[{"a":1}]', "json"),
        ("application/vnd.apache.parquet", None, b"PAR1\x15\x04", "parquet"),
        (None, None, b"PAR1\x15\x04", "parquet"),
        ("application/octet-stream", "x.csv", b"PAR1\x15\x04", "parquet"),
        ("application/octet-stream", "X.TSV", b"a\tb", "tsv"),
        ("", "x.jsonl", b'{"a":1}', "ndjson"),
        (None, "x.json", b'[{"a":1}]', "json"),
        (None, None, b'\xef\xbb\xbf {"a":1}', "ndjson"),
        (None, None, b'[{"a":1}]', "json"),
        (None, "x.dat", b"a;b\n1;2\n", "csv"),
        (None, None, b"ORCHID,height\n", "csv"),
        (None, None, "ORé,height\n".encode("latin-1"), "csv"),
    ],
)
def test_a_format_is_told(content_type: str | None, filename: str | None, head: bytes, found: str) -> None:
    assert sniff_format(content_type, filename, head) == found


@pytest.mark.parametrize(
    ("content_type", "head", "said"),
    [
        ("application/vnd.ms-excel", b"", "application/vnd.ms-excel"),
        ("application/x-www-form-urlencoded", b"a,b", "application/x-www-form-urlencoded"),
        ("image/png", PNG, "image/png"),
        (None, PNG, "PNG image"),
        (None, b"PK\x03\x04rest", "Excel workbook"),
        (None, b"\x1f\x8b\x08", "gzip"),
        (None, b"\x28\xb5\x2f\xfd", "zstd"),
        (None, b"\x80\x04\x95", "run code"),
        (None, b"ARROW1\0\0", "send Parquet"),
        (None, b"\xff\xff\xff\xff\x10\0\0\0", "send Parquet"),
        (None, b"\x93NUMPY\x01\0", "NumPy"),
        (None, b"ORC\x0a\x0b\x00\x01", "ORC"),
    ],
)
def test_other_formats_are_refused_by_name(content_type: str | None, head: bytes, said: str) -> None:
    with pytest.raises(UnsupportedMedia, match=said):
        sniff_format(content_type, "x.csv", head)


@pytest.mark.parametrize(
    ("content_type", "head", "said"),
    [
        ("text/csv", PNG, "it is a PNG image"),
        ("text/csv", b"\x80\x04\x95", "it is a pickle"),
        ("text/csv", b"PAR1\x15\x04", "it is a Parquet file"),
        ("application/json", b"PK\x03\x04rest", "ZIP"),
        ("application/vnd.apache.parquet", b"a,b\n1,2\n", "does not start like one"),
        ("application/vnd.apache.parquet", PNG, "it is a PNG image"),
    ],
)
def test_bytes_that_contradict_the_declared_type_are_refused(content_type: str, head: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        sniff_format(content_type, None, head)
    assert (caught.value.status, caught.value.code) == (422, "dataset-invalid")
