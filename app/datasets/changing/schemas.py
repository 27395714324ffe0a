"""What the routes take and show that make a version from a version: transform, erase, measure anonymity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.datasets.changing.steps import MAX_STEPS, STRICT, ColumnName, Step

QuasiIdentifiers = Annotated[list[ColumnName], Field(min_length=1, max_length=100)]
Wanted = Annotated[str, Field(max_length=10_000)] | int | float | bool


class TransformCreate(BaseModel):
    """Steps that make the next version of a data set, in their order."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "steps": [
                        {"op": "drop_duplicates"},
                        {"op": "pseudonymise", "columns": ["customer"]},
                        {"op": "generalise", "columns": ["age"], "width": 10},
                        {"op": "generalise", "columns": ["birthday"], "to": "month"},
                    ],
                    "quasi_identifiers": ["age", "zip"],
                }
            ]
        }
    )

    steps: list[Step] = Field(min_length=1, max_length=MAX_STEPS)
    quasi_identifiers: QuasiIdentifiers | None = Field(
        None, description="Columns that together may tell who somebody is: k-anonymity is measured before and after."
    )


class EraseCreate(BaseModel):
    """Whose rows to erase. The values are used and forgotten: no record has them."""

    model_config = STRICT | ConfigDict(json_schema_extra={"examples": [{"column": "customer", "values": ["c-1093"]}]})

    column: ColumnName = Field(description="The column that says whose row it is.")
    values: list[Wanted] = Field(min_length=1, max_length=1000, description="Values of the type of the column.")


class AnonymityCreate(BaseModel):
    """Which columns to measure anonymity over."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={"examples": [{"quasi_identifiers": ["age", "zip"], "sensitive": "diagnosis"}]}
    )

    quasi_identifiers: QuasiIdentifiers = Field(description="Columns that together may tell who somebody is.")
    sensitive: ColumnName | None = Field(None, description="A column whose values within a group must differ.")


class GroupSizes(BaseModel):
    """How many groups, and how many rows in them, have a size of so many rows."""

    size: str = Field(examples=["2-4"])
    num_groups: int
    num_rows: int


class AnonymityRead(BaseModel):
    """How well rows hide among others that have the same quasi-identifiers."""

    object: Literal["anonymity"] = "anonymity"
    dataset: str
    quasi_identifiers: list[str]
    sensitive: str | None = None
    k: int = Field(description="Rows of the smallest group: every row is like at least k - 1 others.")
    num_groups: int
    num_rows_in_small_groups: int = Field(description="Rows in groups of fewer than 5 rows.")
    group_sizes: list[GroupSizes]
    diversity: int | None = Field(
        None, description="The least number of different sensitive values within a group (l-diversity)."
    )
