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
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/x-npy": "npy",
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/zstd": "zstd",
    "application/x-zstd": "zstd",
}
# What clients say when they do not know: then the bytes and the name tell.
UNDECLARED = ("", "application/octet-stream", "binary/octet-stream", "text/plain")
COMPRESSIONS = {"gzip": ("gz", "gzip"), "zstd": ("zst", "zstd")}
FORMATS = ("csv", "tsv", "ndjson", "json", "parquet", "xlsx", "npy", *COMPRESSIONS)
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
# First bytes of the binary formats that are read. Which kind of ZIP archive it is, only its contents tell.
MAGIC = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "xlsx",
    b"\x93NUMPY": "npy",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
SAID = {
    "parquet": "a Parquet file",
    "xlsx": "a ZIP archive (an Excel workbook is one)",
    "npy": "a NumPy array",
    "gzip": "gzip-compressed",
    "zstd": "zstd-compressed",
}
# First bytes of files that are not tables we read, with what they are.
FOREIGN = {
    b"PK\x05\x06": "an empty ZIP archive",
    **{b"BZh%d1AY&SY" % level: "bzip2-compressed" for level in range(1, 10)},
    b"\xfd7zXZ": "xz-compressed",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "a RIFF media file",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an Office document of the old kind, or one with a password",
    b"SQLite format 3": "an SQLite database",
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
ALSO_TEXT = (b"GIF8", b"RIFF", b"FEA1", b"ORC")
REASONS = {
    "a pickle": "It can run code when it is read, so it never is.",
    "an Arrow IPC file": "It is a format between processes, with less checking than Parquet: send Parquet.",
    "an Arrow IPC stream": "It is a format between processes, with less checking than Parquet: send Parquet.",
    "an Office document of the old kind, or one with a password": "Save it as .xlsx, without a password.",
    "bzip2-compressed": "Compress it with gzip or zstd.",
    "xz-compressed": "Compress it with gzip or zstd.",
}
ADVICE = (
    "Send CSV, TSV, JSON Lines, a JSON array of objects, Parquet, an Excel workbook (.xlsx) or a NumPy array (.npy), "
    "as it is or compressed with gzip or zstd."
)


def sniff_format(content_type: str | None, filename: str | None, head: bytes, encoding: str | None = None) -> str:
    """The format to read an upload as, one of FORMATS; gzip and zstd hold another, which only the child sees.

    `head` is the first kilobyte or so, `encoding` the Content-Encoding. A declared type decides, if the bytes do
    not contradict it; without one the first bytes do, then the extension of the name. Raises UnsupportedMedia
    for formats not read here, and Invalid (code "dataset-invalid") when the bytes are not of the declared type.
    """
    found = _found(head)
    declared = (content_type or "").partition(";")[0].strip().lower()
    if encoding in COMPRESSIONS:
        return _confirmed(f"Content-Encoding {encoding}", encoding, found, head)
    if declared in MEDIA_TYPES:
        return _confirmed(declared, MEDIA_TYPES[declared], found, head)
    if declared not in UNDECLARED:
        raise UnsupportedMedia(f"The content type {shown(declared)} is not read here. {ADVICE}")
    if found is None and (kind := _foreign(head)):
        raise UnsupportedMedia(" ".join(filter(None, [f"The file is {kind}.", REASONS.get(kind), ADVICE])))
    extension = (filename or "").rpartition(".")[2].lower()
    return found or EXTENSIONS.get(extension) or _by_text(head)


def inside(
    compression: str, content_type: str | None, filename: str | None, encoding: str | None
) -> tuple[str | None, str | None]:
    """Content type and name of what a compressed upload holds, as far as they were told."""
    declared = (content_type or "").partition(";")[0].strip().lower()
    is_outer = encoding is None and MEDIA_TYPES.get(declared) in COMPRESSIONS
    stem, _, extension = (filename or "").rpartition(".")
    named = stem if extension.lower() in COMPRESSIONS[compression] else filename
    return (None if is_outer else content_type), named


def _confirmed(declared: str, format: str, found: str | None, head: bytes) -> str:
    """The declared format, or the compression around it. Raises Invalid when the bytes are something else."""
    if found == format or (found in COMPRESSIONS and format not in COMPRESSIONS):
        return found
    kind = SAID[found] if found else _foreign(head)
    if kind:
        raise invalid(f"The file was sent as {declared}, but it is {kind}.")
    if format in SAID:
        raise invalid(f"The file was sent as {declared}, but it does not start like {SAID[format]}.")
    return format


def _found(head: bytes) -> str | None:
    return next((format for magic, format in MAGIC.items() if head.startswith(magic)), None)


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
