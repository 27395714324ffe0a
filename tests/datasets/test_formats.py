"""The format of an upload follows from its declared type, its name and its first bytes."""

from __future__ import annotations

import pytest

from app.datasets.formats import inside
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
        ("text/plain", "x.txt", b"a,b\n", "csv"),
        ("text/plain", "x.jsonl", b'{"a":1}', "ndjson"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", None, b"PK\x03\x04rest", "xlsx"),
        (None, "x", b"PK\x03\x04rest", "xlsx"),
        (None, None, b"\x93NUMPY\x01\0", "npy"),
        ("application/x-npy", None, b"\x93NUMPY\x01\0", "npy"),
        ("application/gzip", None, b"\x1f\x8b\x08", "gzip"),
        (None, "x.csv", b"\x1f\x8b\x08", "gzip"),
        ("text/csv", None, b"\x1f\x8b\x08", "gzip"),
        ("application/zstd", "x.csv.zst", b"\x28\xb5\x2f\xfd", "zstd"),
        ("application/octet-stream", None, b"\x28\xb5\x2f\xfd", "zstd"),
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
        ("application/zip", b"PK\x03\x04rest", "application/zip"),
        (None, b"PK\x05\x06", "empty ZIP archive"),
        (None, b"BZh91AY&SY\x00", "gzip or zstd"),
        (None, b"\xfd7zXZ\0", "gzip or zstd"),
        (None, b"\xd0\xcf\x11\xe0", "Save it as .xlsx, without a password"),
        (None, b"\x80\x04\x95", "run code"),
        (None, b"ARROW1\0\0", "send Parquet"),
        (None, b"\xff\xff\xff\xff\x10\0\0\0", "send Parquet"),
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
        ("application/vnd.apache.parquet", b"a,b\n1,2\n", "does not start like a Parquet file"),
        ("application/vnd.apache.parquet", PNG, "it is a PNG image"),
        ("application/gzip", b"a,b\n1,2\n", "does not start like gzip-compressed"),
        ("application/gzip", b"\x28\xb5\x2f\xfd", "it is zstd-compressed"),
        ("application/x-npy", b"a,b\n1,2\n", "does not start like a NumPy array"),
        ("text/csv", b"\x93NUMPY\x01\0", "it is a NumPy array"),
    ],
)
def test_bytes_that_contradict_the_declared_type_are_refused(content_type: str, head: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        sniff_format(content_type, None, head)
    assert (caught.value.status, caught.value.code) == (422, "dataset-invalid")


def test_a_content_encoding_is_the_outer_format() -> None:
    assert sniff_format("text/csv", "x.csv", b"\x1f\x8b\x08", "gzip") == "gzip"
    with pytest.raises(Invalid, match="Content-Encoding gzip, but it does not start like"):
        sniff_format("text/csv", "x.csv", b"a,b\n", "gzip")


@pytest.mark.parametrize(
    ("compression", "content_type", "filename", "encoding", "found"),
    [
        ("gzip", "application/gzip", "x.csv.gz", None, (None, "x.csv")),
        ("gzip", None, "x.jsonl.GZ", None, (None, "x.jsonl")),
        ("gzip", "text/csv", "x", None, ("text/csv", "x")),
        ("zstd", "text/csv", "x.csv", "zstd", ("text/csv", "x.csv")),
        ("gzip", "application/zstd", "x.csv.zst", "gzip", ("application/zstd", "x.csv.zst")),
        ("zstd", "application/zstd", None, None, (None, None)),
    ],
)
def test_what_is_inside_is_told_by_type_and_name(
    compression: str,
    content_type: str | None,
    filename: str | None,
    encoding: str | None,
    found: tuple[str | None, str | None],
) -> None:
    told = inside(compression, content_type, filename, encoding)
    assert (told[0], told[1] or None) == found
