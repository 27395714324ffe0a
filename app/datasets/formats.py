"""Tell what format an upload has from its declared type, its name and its first bytes."""

from __future__ import annotations

from app.datasets.limits import invalid, shown
from app.errors import UnsupportedMedia

MEDIA_TYPES = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
UNDECLARED = ("", "application/octet-stream", "binary/octet-stream")
EXTENSIONS = {
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "json": "json",
    "parquet": "parquet",
    "pq": "parquet",
}
PARQUET_MAGIC = b"PAR1"
# First bytes of files that are not tables we read, with what they are.
FOREIGN = {
    b"\x1f\x8b": "gzip-compressed",
    b"PK\x03\x04": "a ZIP archive (an Excel workbook is one)",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "a RIFF media file",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "an Arrow IPC file",
    b"FEA1": "a Feather file",
    b"\xff\xff\xff\xff": "an Arrow IPC stream",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
# Text may start with these letters; then it is printable right after them, too.
ALSO_TEXT = (b"BZh", b"GIF8", b"RIFF", b"FEA1", b"ORC")
REASONS = {
    "a pickle": "It can run code when it is read, so it never is.",
    "an Arrow IPC file": "It is a format between processes, with less checking than Parquet: send Parquet.",
    "an Arrow IPC stream": "It is a format between processes, with less checking than Parquet: send Parquet.",
}
ADVICE = "Send CSV, TSV, JSON Lines, a JSON array of objects, or Parquet."


def sniff_format(content_type: str | None, filename: str | None, head: bytes) -> str:
    """The format to read an upload as: csv, tsv, ndjson, json or parquet.

    `head` is the first kilobyte or so. A declared type decides, if the bytes do not contradict it; without
    one the first bytes do, then the extension of the name. Raises UnsupportedMedia for formats not read here,
    and Invalid (code "dataset-invalid") when the bytes are not of the declared type.
    """
    declared = (content_type or "").partition(";")[0].strip().lower()
    kind = _foreign(head)
    if declared in MEDIA_TYPES:
        return _confirmed(declared, kind, head)
    if declared not in UNDECLARED:
        raise UnsupportedMedia(f"The content type {shown(declared)} is not read here. {ADVICE}")
    if kind:
        raise UnsupportedMedia(" ".join([f"The file is {kind}.", REASONS.get(kind, ""), ADVICE]).replace("  ", " "))
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    extension = (filename or "").rpartition(".")[2].lower()
    return EXTENSIONS.get(extension) or _by_text(head)


def _confirmed(declared: str, kind: str | None, head: bytes) -> str:
    found = MEDIA_TYPES[declared]
    if kind is None and head.startswith(PARQUET_MAGIC):
        kind = "a Parquet file"
    if kind and (found != "parquet" or kind != "a Parquet file"):
        raise invalid(f"The file was sent as {declared}, but it is {kind}.")
    if found == "parquet" and kind is None:
        raise invalid(f"The file was sent as {declared}, but it does not start like one.")
    return found


def _foreign(head: bytes) -> str | None:
    for magic, kind in FOREIGN.items():
        if head.startswith(magic):
            following = head[len(magic) : len(magic) + 4]
            if magic not in ALSO_TEXT or not following.isascii() or not following.decode().isprintable():
                return kind
    return None


def _by_text(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"{": "ndjson", b"[": "json"}.get(start, "csv")
