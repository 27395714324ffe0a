"""What a request may ask of a data set: cleaning and de-identifying steps, erasing, measuring anonymity.

A step is plain, checked JSON, so that it can be recorded with the version it made. What it says holds no values of
persons; what needs the columns of a data set is checked by `step_columns`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import InitErrorDetails

from app.datasets.limits import MAX_NAME_CHARACTERS
from app.datasets.schemas import ColumnType

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
MAX_STEPS = 100


def _is_name(name: str) -> str:
    if not name.strip() or "\0" in name:
        raise ValueError("A name needs a character that can be seen, and no NUL character.")
    return name


ColumnName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
NewName = Annotated[ColumnName, AfterValidator(_is_name)]
Columns = Annotated[
    list[ColumnName], Field(min_length=1, max_length=10_000, description="Names of the columns it works on.")
]
SomeColumns = Annotated[
    list[ColumnName] | None, Field(min_length=1, max_length=10_000, description="Names of columns; null means all.")
]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Value = bool | int | float | Annotated[str, Field(max_length=1000)]
Share = Annotated[float, Field(ge=0, le=1)]


class DropColumns(BaseModel):
    """Leave columns out."""

    model_config = STRICT
    op: Literal["drop_columns"]
    columns: Columns


class KeepColumns(BaseModel):
    """Leave out all other columns; the order stays."""

    model_config = STRICT
    op: Literal["keep_columns"]
    columns: Columns


class Rename(BaseModel):
    """Give columns other names."""

    model_config = STRICT
    op: Literal["rename"]
    names: dict[ColumnName, NewName] = Field(min_length=1, description="New names by old name.")


class DropDuplicates(BaseModel):
    """Drop rows that equal an earlier row; the first one stays. Missing values count as equal."""

    model_config = STRICT
    op: Literal["drop_duplicates"]
    columns: SomeColumns = None


class DropMissing(BaseModel):
    """Drop rows with missing values."""

    model_config = STRICT
    op: Literal["drop_missing"]
    columns: SomeColumns = None
    how: Literal["any", "all"] = Field(
        "any", description="any: one missing value is enough; all: every one is missing."
    )


class ConditionObject(BaseModel):
    """A condition in its members, for names and values that a text cannot tell apart."""

    model_config = STRICT
    column: ColumnName
    op: str = Field(max_length=20)
    value: Value | Annotated[list[Value], Field(max_length=1000)] | None = None


class Filter(BaseModel):
    """Keep the rows that satisfy every condition. It is recorded: to remove a person, erase instead."""

    model_config = STRICT
    op: Literal["filter"]
    conditions: list[Annotated[str, Field(max_length=10_000)] | ConditionObject] = Field(
        min_length=1, max_length=50, description="Conditions as rows are filtered by, such as `age>=30`, or objects."
    )


class FillMissing(BaseModel):
    """Put a value in the place of missing ones."""

    model_config = STRICT
    op: Literal["fill_missing"]
    columns: Columns
    method: Literal["mean", "median", "most_frequent", "constant"] = Field(
        description="mean or median (of numbers and moments), most_frequent, or constant."
    )
    fill_value: Value | None = Field(None, description="The value of method=constant, of the type of the columns.")

    @model_validator(mode="after")
    def _constant_has_value(self) -> Self:
        if (self.method == "constant") != (self.fill_value is not None):
            raise ValueError("method=constant needs a fill_value, and no other method has one")
        return self


class Cast(BaseModel):
    """Read columns as other types."""

    model_config = STRICT
    op: Literal["cast"]
    types: dict[ColumnName, ColumnType] = Field(min_length=1, description="New types by column.")
    on_error: Literal["reject", "missing"] = Field(
        "reject", description="A value that does not fit: refuse the step (reject), or make it missing."
    )


class Clip(BaseModel):
    """Bring numbers that lie outside of bounds to the nearest bound. Give low or high or both, quantiles, or iqr."""

    model_config = STRICT
    op: Literal["clip"]
    columns: Columns
    low: Number | None = Field(None, description="The lowest value that stays.")
    high: Number | None = Field(None, description="The highest value that stays.")
    quantiles: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Bounds as quantiles of each column, such as [0.01, 0.99]."
    )
    iqr: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="Bounds this many interquartile ranges below the first and above the third quartile."
    )

    @model_validator(mode="after")
    def _bounds_are_said_once(self) -> Self:
        has_bounds = self.low is not None or self.high is not None
        if has_bounds + (self.quantiles is not None) + (self.iqr is not None) != 1:
            raise ValueError("give low or high or both, or quantiles, or iqr: exactly one of these ways")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low must not be above high")
        if self.quantiles is not None and self.quantiles[0] > self.quantiles[1]:
            raise ValueError("the first quantile must not be above the second")
        return self


class Mask(BaseModel):
    """Replace characters by asterisks. A value too short to hide anything is masked as a whole."""

    model_config = STRICT
    op: Literal["mask"]
    columns: Columns
    keep_first: int = Field(0, ge=0, le=100, description="Characters that stay readable at the start.")
    keep_last: int = Field(0, ge=0, le=100, description="Characters that stay readable at the end.")
    until: Annotated[str, Field(min_length=1, max_length=20)] | None = Field(
        None, description="Mask only what stands before this text, such as @; a value without it is masked as a whole."
    )


class Pseudonymise(BaseModel):
    """Replace values by keyed hashes (HMAC-SHA-256): the same value gets the same pseudonym in the whole project."""

    model_config = STRICT
    op: Literal["pseudonymise"]
    columns: Columns
    length: int = Field(32, ge=8, le=64, description="Hexadecimal characters of a pseudonym.")


class Generalise(BaseModel):
    """Make values coarser: numbers to bands, moments to periods, text to its first characters. Give exactly one way."""

    model_config = STRICT
    op: Literal["generalise"]
    columns: Columns
    width: Annotated[float, Field(gt=0, le=1e15)] | None = Field(None, description="Width of the bands of numbers.")
    edges: Annotated[list[Number], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Where the bands of numbers begin, ascending; below the first lies one more band."
    )
    to: Literal["day", "month", "quarter", "year"] | None = Field(
        None, description="The period of moments: day, month, quarter or year."
    )
    characters: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="First characters of text.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.width, self.edges, self.to, self.characters)) != 1:
            raise ValueError("give exactly one of width, edges, to and characters")
        if self.edges is not None and any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must ascend")
        return self


class SuppressRare(BaseModel):
    """Replace values that few rows have."""

    model_config = STRICT
    op: Literal["suppress_rare"]
    columns: Columns
    min_count: int = Field(ge=2, le=10**9, description="Values of fewer rows are replaced.")
    replacement: Annotated[str, Field(max_length=1000)] | None = Field(
        "other", description="What stands for them; null makes them missing, as columns without text need it."
    )


AnyStep = Annotated[
    DropColumns
    | KeepColumns
    | Rename
    | DropDuplicates
    | DropMissing
    | Filter
    | FillMissing
    | Cast
    | Clip
    | Mask
    | Pseudonymise
    | Generalise
    | SuppressRare,
    Field(discriminator="op"),
]


def _point_into_the_step(step: Any, validate: Any) -> Any:
    """The errors of a step without the name of its model, so that pointers lead through the request."""
    try:
        return validate(step)
    except ValidationError as error:
        details = []
        for found in error.errors(include_url=False):
            is_tagged = isinstance(step, dict) and found["loc"][:1] == (step.get("op"),)
            place = found["loc"][1 if is_tagged else 0 :]
            details.append(
                InitErrorDetails(type=found["type"], loc=place, input=found["input"], ctx=found.get("ctx", {}))
            )
        raise ValidationError.from_exception_data(error.title, details) from None


Step = Annotated[AnyStep, WrapValidator(_point_into_the_step)]
