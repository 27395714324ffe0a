"""SQL that says whether a text cell has a type, and what its value is.

Inference is strict, so that nothing is lost unseen: 007 and 1_000 are not numbers, an integer that a double
cannot hold exactly is not real, 1e999 is not infinity. A caller who names the type gets the lenient reading.
The engine's own cast takes more than that, but nearly every cell is written so plainly that a cheap look at
the text and the cast together settles it; only the others meet the rules, which are regular expressions.
"""

from __future__ import annotations

from app.datasets.reading.source import Column

STRINGS = ("category", "text", "identifier")
TYPES = ("boolean", "integer", "real", "datetime", *STRINGS)

INTEGER = r"\s*[+-]?(0|[1-9][0-9]*)\s*"
REAL = r"\s*[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
HOUR, SIXTY = "([01][0-9]|2[0-3])", "[0-5][0-9]"
TIME = rf"{HOUR}:{SIXTY}(:{SIXTY}(\.[0-9]{{1,9}})?)?(Z|[+-]{HOUR}(:?{SIXTY})?)?"
# The same text as in learning.values, which reads the moments of predictions.
DATETIME = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{TIME})?"
OFFSET = r":.*[+-]"
LENIENT_INTEGER = r"\s*[+-]?[0-9]+(\.0*)?\s*"
LENIENT_REAL = r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
PLAIN_TRUE, PLAIN_FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
EXACT_INTEGERS = 2**53
DATE_CHARACTERS = len("2024-02-29")
CASTS = {"integer": "BIGINT", "real": "DOUBLE", "datetime": "TIMESTAMP"}


def is_one_of(cell: str, words: tuple[str, ...]) -> str:
    """SQL that is true for a few words without special characters.

    With IN the engine would make a join of it, which looks at every cell, also where CASE asks only of some.
    """
    return f"regexp_full_match({cell}, '{'|'.join(words)}')"


def stored_type(kind: str) -> str:
    """The type a column is stored as: all kinds of strings are stored alike."""
    return "string" if kind in STRINGS else kind


def cast(column: Column, kind: str) -> str:
    """SQL for what the engine itself makes of a cell; NULL where that is nothing."""
    return f"TRY_CAST({column.raw} AS {CASTS[kind]})" if kind in CASTS else "NULL"


def is_plain(column: Column, kind: str, found: str) -> str:
    """SQL, true or NULL or false, that is true only for cells whose cast, `found`, is their value.

    Missing cells are never plain. What is plain has the same value in the strict and the lenient reading.
    """
    cell = column.raw
    if kind == "boolean":
        return " OR ".join(f"{cell} = '{word}'" for word in PLAIN_TRUE + PLAIN_FALSE)
    if kind == "integer":
        return f"{found}::VARCHAR = {cell}"
    if kind == "real":
        return " OR ".join(f"({test})" for test in _plain_reals(cell, found))
    same = f"CASE WHEN strlen({cell}) = {DATE_CHARACTERS} THEN {found}::DATE::VARCHAR ELSE {found}::VARCHAR END"
    return f"{same} = {cell} AND {in_range(found, 'TIMESTAMP')}"


def settling(column: Column, kind: str, found: str) -> str:
    """SQL for the branches of a CASE that give plain cells their value, given their cast."""
    if kind == "boolean":
        # Each text has a branch of its own, so that the usual ones cost one comparison or two.
        pairs = zip(PLAIN_TRUE, PLAIN_FALSE, strict=True)
        return " ".join(
            f"WHEN {column.raw} = '{yes}' THEN true WHEN {column.raw} = '{no}' THEN false" for yes, no in pairs
        )
    if kind == "real":
        return " ".join(f"WHEN {test} THEN {found}" for test in _plain_reals(column.raw, found))
    settled = _in_utc(found) if kind == "datetime" else found
    return f"WHEN {is_plain(column, kind, found)} THEN {settled}"


def accepts(column: Column, kind: str, *, lenient: bool) -> str:
    """SQL, never NULL, that is true for cells (not NULL) which have this type."""
    if kind == "string":
        return "true"
    if kind == column.stored and not lenient:
        return column.accepts
    return f"coalesce({_rule(column.cell, kind, lenient)}, false)"


def quickly_accepts(column: Column, kind: str) -> str:
    """The strict `accepts`, for a look at many cells most of which are plain."""
    rule = accepts(column, kind, lenient=False)
    return f"CASE WHEN {is_plain(column, kind, cast(column, kind))} THEN true ELSE {rule} END"


def value(column: Column, kind: str, *, lenient: bool) -> str:
    """SQL for the value of an accepted cell in the type."""
    cell = column.cell
    if kind == column.stored and not lenient:
        return column.value
    if kind == "string":
        return cell
    if kind == "boolean":
        return is_one_of(f"lower(trim({cell}))", TRUE)
    if kind == "datetime":
        return _moment(cell)
    if kind == "integer" and lenient:
        cell = f"CASE WHEN contains({cell}, '.') THEN split_part({cell}, '.', 1) ELSE {cell} END"
    return f"TRY_CAST({cell} AS {CASTS[kind]})"


def _plain_reals(cell: str, found: str) -> tuple[str, str]:
    """SQL for the two ways in which a real number is plain: the usual one first, which costs two comparisons."""
    is_exact = f"abs({found}) < {EXACT_INTEGERS} AND NOT contains({cell}, '_')"
    # Between "1" and ":" lie the cells that start with a digit other than 0.
    usual = f"{cell} >= '1' AND {cell} < ':'"
    negative = f"{cell} >= '-1' AND {cell} < '-:'"
    fraction = f"starts_with({cell}, '0.') OR starts_with({cell}, '-0.')"
    return f"{is_exact} AND {usual}", f"{is_exact} AND ({negative} OR {fraction})"


def _rule(cell: str, kind: str, lenient: bool) -> str:
    if kind == "boolean":
        words = TRUE + FALSE if lenient else ("true", "false")
        return is_one_of(f"lower(trim({cell}))", words)
    if kind == "integer":
        digits = f"split_part({cell}, '.', 1)" if lenient else cell
        pattern = LENIENT_INTEGER if lenient else INTEGER
        return f"regexp_full_match({cell}, '{pattern}') AND TRY_CAST({digits} AS BIGINT) IS NOT NULL"
    if kind == "real":
        return _is_real(cell, LENIENT_REAL if lenient else REAL)
    return f"regexp_full_match({cell}, '{DATETIME}') AND {in_range(_moment(cell))}"


def _is_real(cell: str, pattern: str) -> str:
    number = f"TRY_CAST({cell} AS DOUBLE)"
    # An integer literal from 2^53 on must be one that a double holds exactly; over 128 bits none counts.
    exact = f"TRY_CAST({number} AS HUGEINT) = TRY_CAST({cell} AS HUGEINT)"
    return (
        f"regexp_full_match({cell}, '{pattern}') AND isfinite({number}) AND "
        f"(abs({number}) < {EXACT_INTEGERS} OR regexp_matches({cell}, '[.eE]') OR {exact})"
    )


def _moment(cell: str) -> str:
    """SQL for a moment with or without an offset; the cast that knows offsets takes four times as long."""
    offset = f"regexp_matches({cell}, '{OFFSET}')"
    usual = _in_utc(f"TRY_CAST({cell} AS TIMESTAMP)")
    return f"CASE WHEN {offset} THEN TRY_CAST({cell} AS TIMESTAMPTZ) ELSE {usual} END"


def _in_utc(timestamp: str) -> str:
    return f"make_timestamptz(epoch_us({timestamp}))"


def in_range(moment: str, kind: str = "TIMESTAMPTZ") -> str:
    """SQL that is true for moments of the years 1 to 9999, all that ISO 8601 and Python can say."""
    zone = "+00" if kind == "TIMESTAMPTZ" else ""
    first, end = (f"{kind} '{year}-01-01 00:00:00{zone}'" for year in ("0001", "10000"))
    return f"{moment} >= {first} AND {moment} < {end}"
