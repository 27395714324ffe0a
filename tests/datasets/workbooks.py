"""Excel workbooks written by hand, as small as they can be, with every odd thing one may hold."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DATE_STYLE, SPAN_STYLE = 1, 2


class Cell:
    """One cell as XML: its attributes and what is in it."""

    def __init__(self, inner: str, attributes: str = "") -> None:
        self.inner, self.attributes = inner, attributes


def text(value: str) -> Cell:
    return Cell(f"<is><t>{escape(value)}</t></is>", 't="inlineStr"')


def number(value: object) -> Cell:
    return Cell(f"<v>{value}</v>")


def date(serial: float) -> Cell:
    return Cell(f"<v>{serial}</v>", f's="{DATE_STYLE}"')


def span(days: float) -> Cell:
    return Cell(f"<v>{days}</v>", f's="{SPAN_STYLE}"')


def boolean(value: bool) -> Cell:
    return Cell(f"<v>{int(value)}</v>", 't="b"')


def error(code: str) -> Cell:
    return Cell(f"<v>{code}</v>", 't="e"')


def formula(code: str, stored: object = None) -> Cell:
    kept = "" if stored is None else f"<v>{stored}</v>"
    return Cell(f"<f>{escape(code)}</f>{kept}", 't="str"' if isinstance(stored, str) else "")


def styled() -> Cell:
    """A cell with a format and nothing in it."""
    return Cell("", f's="{DATE_STYLE}"')


Row = Sequence[Cell | str | int | float | bool | None]


def sheet(rows: Sequence[Row], more: str = "") -> str:
    """The XML of a worksheet; `more` comes after its data."""
    lines = []
    for y, row in enumerate(rows, start=1):
        cells = "".join(_cell(f"{_letters(x)}{y}", value) for x, value in enumerate(row) if value is not None)
        lines.append(f'<row r="{y}">{cells}</row>')
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData>{more}</worksheet>'


def workbook(sheets: Mapping[str, str | Sequence[Row]], extra: Mapping[str, bytes] | None = None) -> bytes:
    """A workbook of sheets by name, each as rows or as XML, with more members in the archive."""
    entries = "".join(f'<sheet name={quoteattr(n)} sheetId="{i}" r:id="rId{i}"/>' for i, n in enumerate(sheets, 1))
    links = "".join(
        f'<Relationship Id="rId{i}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    members = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{entries}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/>'
        '<xf numFmtId="46"/></cellXfs></styleSheet>',
    }
    for i, content in enumerate(sheets.values(), 1):
        members[f"xl/worksheets/sheet{i}.xml"] = content if isinstance(content, str) else sheet(content)
    return archive({name: content.encode() for name, content in members.items()} | dict(extra or {}))


def archive(members: Mapping[str, bytes]) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def _cell(place: str, value: Cell | str | int | float | bool | None) -> str:
    if isinstance(value, bool):
        value = boolean(value)
    elif isinstance(value, str):
        value = text(value)
    elif not isinstance(value, Cell):
        value = number(value)
    return f'<c r="{place}" {value.attributes}>{value.inner}</c>'


def _letters(x: int) -> str:
    return (_letters(x // 26 - 1) if x >= 26 else "") + chr(ord("A") + x % 26)
