"""SQL that says whether a text cell has a type, and what its value is.

Inference is strict, so that nothing is lost unseen: 007 and 1_000 are not numbers, an integer that a double
cannot hold exactly is not real, 1e999 is not infinity. A caller who names the type gets the lenient reading.
Each rule tries a cheap test first and leaves only unusual cells to a regular expression.
"""

from __future__ import annotations

from app.datasets.source import Column

SQL_TYPES = {"boolean": "BOOLEAN", "integer": "BIGINT", "real": "DOUBLE", "datetime": "TIMESTAMPTZ"}
STRINGS = ("category", "text", "identifier")
TYPES = (*SQL_TYPES, *STRINGS)

INTEGER = r"\s*[+-]?(0|[1-9][0-9]*)\s*"
REAL = r"\s*[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
DATETIME = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{TIME})?"
LENIENT_INTEGER = r"\s*[+-]?[0-9]+(\.0*)?\s*"
LENIENT_REAL = r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
EXACT_INTEGERS = 2**53


def stored_type(kind: str) -> str:
    """The type a column is stored as: all kinds of strings are stored alike."""
    return "string" if kind in STRINGS else kind


def accepts(column: Column, kind: str, *, lenient: bool) -> str:
    """SQL, never NULL, that is true for cells (not NULL) which have this type."""
    if kind == "string":
        return "true"
    if kind == column.stored and not lenient:
        return column.accepts
    return f"coalesce({_rule(column.cell, kind, lenient)}, false)"


def value(column: Column, kind: str, *, lenient: bool) -> str:
    """SQL for the value of an accepted cell in the type."""
    cell = column.cell
    if kind == column.stored and not lenient:
        return column.value
    if kind == "string":
        return cell
    if kind == "boolean":
        return f"lower(trim({cell})) IN {TRUE}"
    if kind == "integer" and lenient:
        cell = f"CASE WHEN contains({cell}, '.') THEN split_part({cell}, '.', 1) ELSE {cell} END"
    if kind == "datetime":
        usual, unusual = _plain_moment(cell), f"TRY_CAST({cell} AS TIMESTAMPTZ)"
        return f"CASE WHEN {_is_plain(cell)} THEN {usual} ELSE {unusual} END"
    return f"TRY_CAST({cell} AS {SQL_TYPES[kind]})"


def _rule(cell: str, kind: str, lenient: bool) -> str:
    if kind == "boolean":
        words = TRUE + FALSE if lenient else ("true", "false")
        return f"lower(trim({cell})) IN {words}"
    if kind == "integer":
        return _is_lenient_integer(cell) if lenient else _is_integer(cell)
    if kind == "real":
        return _is_real(cell, LENIENT_REAL) if lenient else _is_quickly_real(cell)
    if kind == "datetime":
        return _is_datetime(cell)
    return "true"


def _is_integer(cell: str) -> str:
    number = f"TRY_CAST({cell} AS BIGINT)"
    matches = f"regexp_full_match({cell}, '{INTEGER}')"
    return f"CASE WHEN {number}::VARCHAR = {cell} THEN true ELSE {matches} AND {number} IS NOT NULL END"


def _is_lenient_integer(cell: str) -> str:
    digits = f"TRY_CAST(split_part({cell}, '.', 1) AS BIGINT) IS NOT NULL"
    return f"regexp_full_match({cell}, '{LENIENT_INTEGER}') AND {digits}"


def _is_quickly_real(cell: str) -> str:
    number = f"TRY_CAST({cell} AS DOUBLE)"
    # Between "1" and ":" lie the cells that start with a digit other than 0.
    usual = (
        f"abs({number}) < {EXACT_INTEGERS} AND NOT contains({cell}, '_')"
        f" AND (({cell} >= '1' AND {cell} < ':') OR starts_with({cell}, '0.'))"
    )
    return f"CASE WHEN {usual} THEN true ELSE {_is_real(cell, REAL)} END"


def _is_real(cell: str, pattern: str) -> str:
    number = f"TRY_CAST({cell} AS DOUBLE)"
    # An integer literal from 2^53 on must be one that a double holds exactly; over 128 bits none counts.
    exact = f"TRY_CAST({number} AS HUGEINT) = TRY_CAST({cell} AS HUGEINT)"
    return (
        f"regexp_full_match({cell}, '{pattern}') AND isfinite({number}) AND "
        f"(abs({number}) < {EXACT_INTEGERS} OR regexp_matches({cell}, '[.eE]') OR {exact})"
    )


def _is_datetime(cell: str) -> str:
    matches = f"regexp_full_match({cell}, '{DATETIME}')"
    usual, unusual = in_range(_plain_moment(cell)), in_range(f"TRY_CAST({cell} AS TIMESTAMPTZ)")
    return f"CASE WHEN {_is_plain(cell)} THEN {usual} WHEN {matches} THEN {unusual} ELSE false END"


def _is_plain(cell: str) -> str:
    """SQL that is true for moments as SQL writes them, without an offset; reading these is much cheaper."""
    return f"TRY_CAST({cell} AS TIMESTAMP)::VARCHAR = {cell}"


def _plain_moment(cell: str) -> str:
    return f"make_timestamptz(epoch_us(TRY_CAST({cell} AS TIMESTAMP)))"


def in_range(moment: str) -> str:
    """SQL that is true for moments of the years 1 to 9999, all that ISO 8601 and Python can say."""
    first, end = (f"TIMESTAMPTZ '{year}-01-01 00:00:00+00'" for year in ("0001", "10000"))
    return f"{moment} >= {first} AND {moment} < {end}"
