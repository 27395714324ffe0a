"""One value at a time: JSON values to a column's stored form, and one column type read as another.

Training reads Parquet and prediction reads JSON; both end in the same stored form (see data.py) and then
pass through the same `convert`, so a row means the same in both.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from app.learning.data import MICROSECONDS_PER_SECOND, NUMBER_TYPES, Values, is_missing
from app.learning.errors import shown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Strings are read as other types by the rules that an upload follows when it is told the type of a column.
BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "1"), 1.0) | dict.fromkeys(("false", "f", "no", "n", "0"), 0.0)
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
HOUR, SIXTY = "([01][0-9]|2[0-3])", "[0-5][0-9]"
TIME = rf"{HOUR}:{SIXTY}(:{SIXTY}(\.[0-9]{{1,9}})?)?(Z|[+-]{HOUR}(:?{SIXTY})?)?"
MOMENT = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{TIME})?")

# Which stored types a request may read as another type. Strings are parsed; numbers become names.
CONVERSIONS: dict[str, frozenset[str]] = {
    "integer": frozenset({"real", "category"}),
    "real": frozenset({"category"}),
    "boolean": frozenset({"integer", "real", "category"}),
    "datetime": frozenset({"real", "category"}),
    "category": frozenset({"integer", "real", "boolean", "datetime", "text", "identifier"}),
    "text": frozenset({"integer", "real", "boolean", "datetime", "category", "identifier"}),
    "identifier": frozenset({"integer", "real", "boolean", "datetime", "category", "text"}),
}


class WrongType(ValueError):
    """A value that its column's type cannot hold."""


class NotFinite(ValueError):
    """A number beyond what a float64 holds, or NaN; never a matter of policy."""


PLAIN_NUMBERS = frozenset({float, int})
PLAIN_CELLS = PLAIN_NUMBERS | {type(None)}
PLAIN_STRINGS = frozenset({str, type(None)})

Report = Callable[[int, ValueError], None]
# The cells of one column: JSON values, or an array of numbers where NaN stands for a missing one.
Cells = Sequence[object] | NDArray[np.generic]


class Matrix(Mapping[str, Cells]):
    """The columns of one array of numbers (rows, names), which can be taken as a whole."""

    def __init__(self, names: Sequence[str], values_BN: NDArray[np.generic]) -> None:
        self.names, self.values_BN = tuple(names), values_BN

    def __getitem__(self, name: str) -> Cells:
        if name not in self.names:
            raise KeyError(name)
        return self.values_BN[:, self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def numbers(self, names: Sequence[str]) -> NDArray[np.float64] | None:
        """Return a copy (rows, names) if these are its names and all of its numbers are finite."""
        if (
            self.names != tuple(names)
            or self.values_BN.dtype.kind not in "fiu"
            or not np.isfinite(self.values_BN).all()
        ):
            return None
        return self.values_BN.astype(np.float64)


def seconds(moment: datetime) -> float:
    """Return UTC seconds since 1970, exact to the microsecond; a moment without a zone counts as UTC.

    Raises: OverflowError when it is not in the years 1 to 9999 of UTC.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return float((aware.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)) / MICROSECONDS_PER_SECOND


def iso(seconds_since_epoch: float) -> str:
    """Return the RFC 3339 form of UTC seconds since 1970."""
    moment = EPOCH + timedelta(microseconds=round(seconds_since_epoch * MICROSECONDS_PER_SECOND))
    return moment.isoformat().replace("+00:00", "Z")


def _number(value: object) -> float:
    # The exact types come first because the checks through abstract classes cost more than all the rest.
    if type(value) not in (float, int) and (isinstance(value, bool | np.bool_) or not isinstance(value, Real)):
        raise WrongType(f"expected a number, got {shown(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NotFinite("expected a finite number")
    return number


def _boolean(value: object) -> float:
    if isinstance(value, bool | np.bool_) or (isinstance(value, Real) and value in (0, 1)):
        return float(value)
    raise WrongType(f"expected true or false, got {shown(value)}")


def _moment(value: object) -> float:
    if isinstance(value, datetime):
        return seconds(value)
    try:
        if isinstance(value, str) and MOMENT.fullmatch(value):
            return seconds(datetime.fromisoformat(value))
        raise ValueError
    except (ValueError, OverflowError):
        raise WrongType(f"expected an ISO 8601 date or time, got {shown(value)}") from None


def _name(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value)) if abs(int(value)) < 10**19 else _refuse_name(value)
    if isinstance(value, Real):
        return repr(_number(value) + 0.0)
    return _refuse_name(value)


def _refuse_name(value: object) -> str:
    raise WrongType(f"expected a string, got {shown(value)}")


READERS: dict[str, Callable[[object], float | str]] = {
    "integer": _number,
    "real": _number,
    "boolean": _boolean,
    "datetime": _moment,
    "category": _name,
    "text": _name,
    "identifier": _name,
}


def coerce(values: Cells, stored: str, report: Report) -> Values:
    """Return cells (n,) in the stored form of a column; None, NaN in arrays and what was reported become missing."""
    if isinstance(values, np.ndarray):
        if stored in ("integer", "real") and values.dtype.kind in "fiu" and not np.isinf(values).any():
            return values.astype(np.float64)
        values = [None if value != value else value for value in values.tolist()]
    plain = _plain(values, stored)
    if plain is not None:
        return plain
    read = READERS[stored]
    is_number = stored in NUMBER_TYPES
    missing = math.nan if is_number else None
    out = np.empty(len(values), dtype=np.float64 if is_number else object)
    for row, value in enumerate(values):
        if value is None:
            out[row] = missing
            continue
        try:
            out[row] = read(value)
        except (WrongType, NotFinite) as error:
            out[row] = missing
            report(row, error)
    return out


def numbers_of(rows: Sequence[Sequence[object]]) -> NDArray[np.float64] | None:
    """Return rows of as many cells as one array, read at once, or None unless all are finite numbers."""
    row_of_numbers = struct.Struct(f"{len(rows[0])}d")
    try:
        packed = bytearray().join([row_of_numbers.pack(*row) for row in rows])
    except (struct.error, OverflowError):
        return None
    values_BN = np.frombuffer(packed).reshape(len(rows), -1)
    # What became 0 or 1 may have been false or true.
    places = zip(*np.nonzero((values_BN == 0) | (values_BN == 1)), strict=True)
    if not np.isfinite(values_BN).all() or any(type(rows[row][column]) is bool for row, column in places):
        return None
    return values_BN


def _plain(values: Sequence[object], stored: str) -> Values | None:
    """Return the column at once where nothing can go wrong: finite numbers, or strings, and no others."""
    if stored in ("integer", "real") and PLAIN_CELLS.issuperset(map(type, values)):
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        # None has become NaN; a NaN that was given is no number.
        if np.isfinite(numbers).sum() + values.count(None) == len(values):
            return numbers
    if stored not in NUMBER_TYPES and PLAIN_STRINGS.issuperset(map(type, values)):
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out
    return None


def convert(values: Values, stored: str, wanted: str, report: Report) -> Values:
    """Return a stored column (n,) read as another type; what cannot be read is reported and missing."""
    if stored == wanted or (stored in NUMBER_TYPES) == (wanted in NUMBER_TYPES):
        return values
    if wanted in NUMBER_TYPES:
        return _parse(values, wanted, report)
    out = np.full(len(values), None, dtype=object)
    present = ~is_missing(values)
    distinct, inverse = np.unique(values[present], return_inverse=True)
    names = np.empty(len(distinct), dtype=object)
    names[:] = [name_of(number, stored) for number in distinct.tolist()]
    out[present] = names[inverse]
    return out


def name_of(number: float, stored: str) -> str:
    """Return the name under which a stored number is a category: 2007, 0.5, true, 2007-11-12T00:00:00Z."""
    if stored == "integer":
        return str(int(number)) if number.is_integer() else repr(number)
    if stored == "boolean":
        return "true" if number else "false"
    # Adding 0.0 turns -0.0 into 0.0, which is the same number and must be the same name.
    return iso(number) if stored == "datetime" else repr(number + 0.0)


def _parse(values: Values, wanted: str, report: Report) -> Values:
    out = np.full(len(values), math.nan)
    for row, text in enumerate(values):
        if text is not None:
            try:
                out[row] = _parse_one(text, wanted)
            except (WrongType, NotFinite) as error:
                report(row, error)
    return out


def _parse_one(text: str, wanted: str) -> float:
    if wanted == "datetime":
        return _moment(text)
    if wanted == "boolean":
        if text.strip().lower() not in BOOLEANS:
            raise WrongType(f"expected true or false, got {shown(text)}")
        return BOOLEANS[text.strip().lower()]
    if not NUMBER.fullmatch(text):
        raise WrongType(f"expected a number, got {shown(text)}")
    return _number(float(text))
