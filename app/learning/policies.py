"""What a request may say about data preparation, and what follows from it for each column of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.learning.data import NUMBER_TYPES, Column, ColumnType
from app.learning.errors import LearningError, json_pointer, shown
from app.learning.problems import WORDINGS, problems_of
from app.learning.values import CONVERSIONS

NumericMissing = Literal["mean", "median", "most_frequent", "constant", "drop_rows", "reject"]
CategoryMissing = Literal["most_frequent", "constant", "category", "drop_rows", "reject"]
Missing = Literal["mean", "median", "most_frequent", "constant", "category", "drop_rows", "reject"]
Indicator = Literal["auto", "always", "never"]
Scaling = Literal["standard", "min_max", "robust", "quantile", "none"]
OutOfRange = Literal["accept", "flag", "clip", "reject"]
Encoding = Literal["one_hot", "ordinal", "index"]
Unseen = Literal["other", "reject"]
WrongTypePolicy = Literal["reject", "impute"]
ExtraColumns = Literal["flag", "ignore", "reject"]
FillValue = Annotated[float, Field(ge=-1e30, le=1e30)] | Annotated[str, Field(max_length=1000)]
Levels = Annotated[int, Field(ge=0, le=10_000)]
MaxCategories = Annotated[int, Field(ge=1, le=10_000)]

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


# What the schema of a data set can say about a column, or about columns that it does not have; first the default.
STORED_POLICIES: dict[str, tuple[str, ...]] = {
    "missing": ("impute", "flag", "reject"),
    "unseen": ("other", "flag", "reject"),
    "out_of_range": ("flag", "accept", "clip", "reject"),
    "wrong_type": ("reject", "impute"),
    "extra_columns": ("flag", "ignore", "reject"),
}
# Which of these words a request says in another way.
MEANINGS: dict[tuple[str, str], dict[str, str]] = {
    # It does not say how: that is this module's default.
    ("missing", "impute"): {},
    # For categories there is nothing to add: by default a missing value is a category of its own.
    ("missing", "flag"): {"missing_indicator": "always"},
    # An unseen category always comes with a warning.
    ("unseen", "flag"): {"unseen": "other"},
}


class _Fillable(BaseModel):
    """A policy that can put a constant in the place of missing values."""

    model_config = STRICT

    missing: Any
    fill_value: Any

    @model_validator(mode="after")
    def _constant_has_value(self) -> Self:
        if self.missing == "constant" and self.fill_value is None:
            raise ValueError("missing=constant needs a fill_value")
        return self


class NumericPolicy(_Fillable):
    """How numbers, truth values and times become inputs."""

    missing: NumericMissing = Field("median", description="What stands in for a missing value.")
    fill_value: float | None = Field(None, ge=-1e30, le=1e30, description="The value of missing=constant.")
    missing_indicator: Indicator = Field(
        "auto", description="Add an input that says 'was missing': auto adds it where training rows lack values."
    )
    scaling: Scaling = Field("standard", description="How values are brought to a common scale.")
    levels: Levels = Field(
        0, description="Up to so many repeated values are inputs as categories, too, in specs with embeddings."
    )
    out_of_range: OutOfRange = Field("flag", description="A value outside the range seen in training.")
    wrong_type: WrongTypePolicy = Field("reject", description="A value that is not of the column's type.")


class CategoryPolicy(_Fillable):
    """How named values become inputs."""

    missing: CategoryMissing = Field("category", description="What stands in for a missing value.")
    fill_value: str | None = Field(None, max_length=1000, description="The value of missing=constant.")
    encoding: Encoding = Field(
        "one_hot", description="One input per category, or one number per column; index is for specs with embeddings."
    )
    unseen: Unseen = Field("other", description="A category that no training row had.")
    max_categories: MaxCategories = Field(256, description="The most frequent are kept, the rest is 'other'.")
    wrong_type: WrongTypePolicy = Field("reject", description="A value that is not of the column's type.")


class ColumnPolicy(BaseModel):
    """What one column does differently; what is not given follows `numeric` or `category`."""

    model_config = STRICT

    use: bool = Field(True, description="false leaves the column out.")
    type: ColumnType | None = Field(None, description="Read the column as another type.")
    missing: Missing | None = None
    fill_value: FillValue | None = None
    missing_indicator: Indicator | None = None
    scaling: Scaling | None = None
    levels: Levels | None = None
    out_of_range: OutOfRange | None = None
    encoding: Encoding | None = None
    unseen: Unseen | None = None
    max_categories: MaxCategories | None = None
    wrong_type: WrongTypePolicy | None = None


class PreparationParams(BaseModel):
    """Data preparation as a request states it: defaults per kind of column, then single columns."""

    model_config = STRICT

    numeric: NumericPolicy = Field(default_factory=NumericPolicy)
    category: CategoryPolicy = Field(default_factory=CategoryPolicy)
    columns: dict[str, ColumnPolicy] = Field(default_factory=dict, description="Overrides by column name.")
    extra_columns: ExtraColumns = Field("flag", description="A column in a prediction that the model does not know.")
    target_scaling: Literal["standard", "none"] = Field(
        "standard", description="Regression only: learn the target standardised, answer in its own units."
    )


@dataclass(frozen=True, slots=True)
class Treatment:
    """What will happen to one column: its stored type, the type it is read as, and its policy."""

    name: str
    stored: str
    type: str
    policy: NumericPolicy | CategoryPolicy | None
    reason: str | None = None


def treatments(
    columns: Sequence[Column],
    params: PreparationParams,
    reserved: Sequence[str | None],
    preferred: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Treatment]:
    """Decide for every column but the reserved ones (target, split) whether and how it is used.

    `preferred` are the policies of a spec, under "numeric" and "category", weaker than what anybody says.

    Raises: LearningError pointing below /preparation when an override does not fit its column, or none is used.
    Deterministic: yes.
    """
    names = {column["name"] for column in columns}
    for name in params.columns:
        if name not in names:
            _refuse(name, f"the data set has no column {shown(name)}")
        if name in reserved:
            _refuse(name, "the target and the split column are not inputs")
    decided = [_treat(column, params, preferred or {}) for column in columns if column["name"] not in reserved]
    if all(item.policy is None for item in decided):
        raise LearningError("No column is left to learn from.", code="no-inputs", pointer="/preparation")
    return decided


def _treat(column: Column, params: PreparationParams, preferred: Mapping[str, Mapping[str, Any]]) -> Treatment:
    name, stored = str(column["name"]), str(column["type"])
    override = params.columns.get(name, ColumnPolicy())
    wanted = override.type or stored
    if wanted != stored and wanted not in CONVERSIONS[stored]:
        _refuse(name, f"a column of type {stored} cannot be read as {wanted}", "type")
    if not override.use:
        return Treatment(name, stored, wanted, None, "left out by the request")
    if wanted in ("text", "identifier"):
        return Treatment(name, stored, wanted, None, f"{wanted} columns are not inputs of this kind of model")
    return Treatment(name, stored, wanted, _policy(column, wanted, params, override, preferred))


def _policy(
    column: Column,
    wanted: str,
    params: PreparationParams,
    override: ColumnPolicy,
    preferred: Mapping[str, Mapping[str, Any]],
) -> NumericPolicy | CategoryPolicy:
    """Merge, weakest first: our defaults, the spec's, the data set's own, the request's kind, its column."""
    kind = params.numeric if wanted in NUMBER_TYPES else params.category
    model = type(kind)
    merged = dict(preferred.get("numeric" if model is NumericPolicy else "category", {}))
    if wanted == "boolean":
        merged["missing"] = "most_frequent"
    merged |= _stored_policies(column.get("policies") or {}, model)
    merged |= kind.model_dump(exclude_unset=True)
    stated = override.model_dump(exclude_unset=True, exclude={"use", "type"})
    merged |= {field: value for field, value in stated.items() if value is not None}
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        problems = problems_of(error, merged, "preparation", "columns", str(column["name"]))
        for problem in problems:
            if problem["detail"] == WORDINGS["extra_forbidden"]:
                problem["detail"] = f"does not apply to a column read as {wanted}"
        raise LearningError(problems[0]["detail"], pointer=problems[0]["pointer"], errors=problems) from None


def applicable(column_type: str) -> frozenset[str]:
    """Return which of the stored policies a column of this type can have."""
    if column_type == "category":
        return frozenset({"missing", "unseen", "wrong_type"})
    if column_type in NUMBER_TYPES - {"boolean"}:
        return frozenset({"missing", "out_of_range", "wrong_type"})
    return frozenset({"missing", "wrong_type"})


def _stored_policies(policies: Mapping[str, str], model: type[BaseModel]) -> dict[str, str]:
    """Return what a data set says of a column, in the terms of a request for this kind of column."""
    stated: dict[str, str] = {}
    for name, word in policies.items():
        stated |= MEANINGS.get((name, word), {name: word})
    return {name: value for name, value in stated.items() if name in model.model_fields}


def _refuse(name: str, detail: str, *more: str) -> None:
    raise LearningError(f"Column {shown(name)}: {detail}.", pointer=json_pointer("preparation", "columns", name, *more))
