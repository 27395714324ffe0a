"""Look into a ZIP archive: whether it is an Excel workbook, how large, and what its reader would not tell."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from app.datasets.limits import IngestLimits, invalid
from app.errors import TooLarge, UnsupportedMedia

CHUNK_BYTES = 2**20
MAX_CELL_BYTES = 2**20
MAX_PART_BYTES = 16 * CHUNK_BYTES
ENCRYPTED = 1
WORKBOOK, LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
# A member that gives an archive away, with what it is then.
MEMBERS = {
    "xl/workbook.bin": "a binary Excel workbook (.xlsb): save it as .xlsx",
    "xl/vbaproject.bin": "an Excel workbook with macros (.xlsm): save it as .xlsx",
    "content.xml": "an OpenDocument file: save it as .xlsx or CSV",
    "word/document.xml": "a Word document, which is no table",
    "ppt/presentation.xml": "a presentation, which is no table",
}
ERROR_CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*\bt="e"')
FORMULA_WITHOUT_VALUE = re.compile(
    rb"<((?:\w+:)?)f\b(?:[^>]*/>|[^>]*>[^<]*</\1f>)\s*(?:<\1v\s*/>|<\1v>\s*</\1v>)?\s*</\1c>"
)


class Contents:
    """The members of a workbook's archive."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._members = {member.filename.lower(): member for member in file.infolist()}

    def check(self, limits: IngestLimits) -> None:
        """Raise UnsupportedMedia for what is no workbook, TooLarge for one that unpacks to too much."""
        if any(member.flag_bits & ENCRYPTED for member in self._members.values()):
            raise UnsupportedMedia("The file is an archive with a password: send it without.")
        for name, kind in MEMBERS.items():
            if name in self._members:
                raise UnsupportedMedia(f"The file is {kind}.")
        if WORKBOOK not in self._members:
            raise UnsupportedMedia(f"The file is {self._kind()}.")
        size_bytes = sum(member.file_size for member in self._members.values())
        if size_bytes > limits.decoded_bytes:
            raise TooLarge(f"The workbook unpacks to over {limits.decoded_bytes:,} bytes, which is the limit.")

    def untold(self, sheet: str) -> tuple[int, int]:
        """Numbers of cells of a sheet that hold an error, and of formulas without a stored value."""
        member = self._members.get(self._parts().get(sheet, ""))
        num_errors = num_formulas = 0
        for cells in self._whole_cells(member) if member else ():
            num_errors += sum(1 for _ in ERROR_CELL.finditer(cells))
            num_formulas += sum(1 for _ in FORMULA_WITHOUT_VALUE.finditer(cells))
        return num_errors, num_formulas

    def _kind(self) -> str:
        if self._members and all(name.endswith(".npy") for name in self._members):
            return "an archive of NumPy arrays (.npz): send each array as .npy"
        if any(name.endswith(".pkl") for name in self._members):
            return "an archive with a pickle in it, as PyTorch writes it: a pickle can run code, so it is never read"
        return "a ZIP archive, but no Excel workbook: unpack it and send each table by itself"

    def _parts(self) -> dict[str, str]:
        """Names of members by the names of the sheets in them."""
        targets = {link.get("Id"): link.get("Target", "") for link in self._elements(LINKS, "Relationship")}
        parts = {}
        for sheet in self._elements(WORKBOOK, "sheet"):
            id_ = next((value for name, value in sheet.attrib.items() if name.endswith("}id")), None)
            target = targets.get(id_, "")
            parts[sheet.get("name", "")] = (target[1:] if target.startswith("/") else f"xl/{target}").lower()
        return parts

    def _elements(self, part: str, tag: str) -> list[ElementTree.Element]:
        member = self._members.get(part)
        if member is None or member.file_size > MAX_PART_BYTES:
            return []
        root = ElementTree.fromstring(self._file.read(member))
        return [element for element in root.iter() if element.tag.rpartition("}")[2] == tag]

    def _whole_cells(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """The text of a sheet in pieces that end where a cell begins."""
        rest = b""
        with self._file.open(member) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                rest += chunk
                end = max(rest.rfind(b"<c "), rest.rfind(b":c "))
                if end > 0 or len(rest) > MAX_CELL_BYTES:
                    yield rest[:end] if end > 0 else rest
                    rest = rest[end:] if end > 0 else b""
        yield rest


@contextmanager
def open_workbook(path: Path, limits: IngestLimits) -> Iterator[Contents]:
    """The contents of an Excel workbook. Raises UnsupportedMedia for other archives, Invalid, TooLarge."""
    try:
        with zipfile.ZipFile(path) as file:
            contents = Contents(file)
            contents.check(limits)
            yield contents
    except (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, EOFError, NotImplementedError, UnicodeError):
        raise invalid("The file is damaged or cut: it cannot be read as an Excel workbook.") from None
