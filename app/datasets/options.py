"""What a caller may say about how a file is written; everything has a default, and nothing else is taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.datasets.limits import MAX_NAME_CHARACTERS
from app.errors import Invalid

MAX_MISSING_WORDS = 100
MAX_WORD_CHARACTERS = 64
MAX_TYPES = 10_000
SPELLED_OUT = {"tab": "\t", "\\t": "\t"}
ColumnType = Literal["boolean", "integer", "real", "datetime", "category", "text", "identifier"]


def _delimiter(text: Any) -> Any:
    found = SPELLED_OUT.get(text, text) if isinstance(text, str) else text
    if isinstance(found, str) and found != "auto" and (len(found) != 1 or found in '"\r\n\0'):
        raise ValueError("must be 'auto', 'tab' or one character that is no quote and no line end")
    return found


def _truth(text: Any) -> Any:
    return {"true": True, "false": False}.get(text, text) if isinstance(text, str) else text


def _words(words: list[str]) -> list[str]:
    if any("\0" in word for word in words):
        raise ValueError("must not have NUL characters")
    return words


def _from_json(text: Any) -> Any:
    """A list or object, as itself or as JSON text, which is how a query or a form says it."""
    if not isinstance(text, str) or text[:1] not in ("[", "{"):
        return [text] if isinstance(text, str) else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


class ReadOptions(BaseModel):
    """How a file is written, as far as its bytes do not tell."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    delimiter: Annotated[str, BeforeValidator(_delimiter)] = Field(
        default="auto", description="CSV: one character, `tab`, or `auto` to find out.", examples=[";"]
    )
    encoding: Literal["auto", "utf-8", "utf-16", "cp1252", "latin-1"] = Field(
        default="auto", description="CSV: the encoding of the text, or `auto` to find out."
    )
    header: Annotated[bool, BeforeValidator(_truth)] = Field(
        default=True, description="CSV and Excel: whether the first row names the columns; else column_1, column_2, …"
    )
    on_bad_lines: Literal["reject", "skip"] = Field(
        default="reject", description="CSV and JSON Lines: refuse a file with malformed lines, or leave them out."
    )
    sheet: str | None = Field(default=None, max_length=64, description="Excel: name of the sheet; default: the first.")
    missing_values: Annotated[
        list[Annotated[str, Field(max_length=MAX_WORD_CHARACTERS)]],
        BeforeValidator(_from_json),
        AfterValidator(_words),
    ] = Field(
        default=[],
        max_length=MAX_MISSING_WORDS,
        description="More texts that mean a missing value, besides an empty cell, NA, null and their like.",
        examples=[["-999", "unknown"]],
    )
    types: Annotated[
        dict[Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)], ColumnType], BeforeValidator(_from_json)
    ] = Field(
        default={},
        max_length=MAX_TYPES,
        description="Types of columns by name, instead of those that would be found.",
        examples=[{"zip": "category"}],
    )


class UploadOptions(ReadOptions):
    """The options of an upload: how the file is written, and what the table will be called."""

    name: str | None = Field(default=None, max_length=128, description="Name; default: the name of the file.")


def read_options(given: Mapping[str, str], *, pointer: str) -> ReadOptions:
    """The options among texts that a client told, such as the metadata of an upload; other texts are left alone.

    `types` is a JSON object; `missing_values` a JSON list or one word. Raises Invalid at `pointer` for each
    option that cannot be.
    """
    told = {name: text for name, text in given.items() if name in ReadOptions.model_fields}
    try:
        return ReadOptions.model_validate(told)
    except ValidationError as fault:
        errors = [
            {"pointer": pointer, "detail": f"{error['loc'][0]}: {error['msg'].removeprefix('Value error, ')}"}
            for error in fault.errors(include_url=False, include_input=False)[:20]
        ]
        raise Invalid(errors[0]["detail"], errors=errors) from None
