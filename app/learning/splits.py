"""Which rows train, which validate and which test: a function of the request, the data and the seed only."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from app.learning.data import Indices, Values
from app.learning.errors import LearningError, shown
from app.learning.policies import STRICT

PARTS = ("train", "validation", "test")
# Enough for PCG64 to be independent of the streams of other uses of the same seed.
STREAM = 0x5B117


class Split(BaseModel):
    """How the rows of a data set are divided."""

    model_config = STRICT

    method: Literal["stratified", "random", "column"] | None = Field(
        None, description="null: stratified for classification, random otherwise."
    )
    validation: float = Field(0.15, ge=0.0, le=0.9, description="Share of rows that choose the best epoch.")
    test: float = Field(0.15, ge=0.0, le=0.9, description="Share of rows that only measure.")
    column: str | None = Field(None, description="Column with the words train, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method == "column") != (self.column is not None):
            raise ValueError("method=column and column belong together")
        if self.validation + self.test > 0.95:
            raise ValueError("validation and test together leave too little to train on")
        return self


@dataclass(frozen=True, slots=True)
class Parts:
    """Row numbers of the three parts, each ascending."""

    train: Indices
    validation: Indices
    test: Indices

    def to_json(self) -> dict[str, Any]:
        """Return the sizes and one digest of all row numbers."""
        digest = sha256()
        for part in PARTS:
            digest.update(part.encode() + getattr(self, part).astype("<i8").tobytes())
        return {"num_rows": {part: len(getattr(self, part)) for part in PARTS}, "sha256": digest.hexdigest()}


def split_rows(rows: Indices, split: Split, *, classes: Values | None, seed: int) -> Parts:
    """Divide these row numbers (n,) at random; with `classes` (n,) each class is divided alike.

    Every part of a stratified split differs from its exact share of a class by less than two rows. A class
    with fewer rows than there are parts goes to training whole: it can be learned but not measured.
    Raises: LearningError when no row is left for training. Deterministic: a function of the arguments.
    """
    generator = np.random.default_rng([STREAM, seed])
    order = generator.permutation(len(rows))
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    is_test = _spread(len(rows), split.test, generator)
    is_validation = np.zeros(len(rows), np.bool_)
    rest = ~is_test
    is_validation[rest] = _spread(int(rest.sum()), split.validation / (1.0 - split.test), generator)
    if classes is not None:
        rare = _rare(classes[order], 1 + (split.test > 0) + (split.validation > 0))
        is_test &= ~rare
        is_validation &= ~rare
    is_train = ~(is_test | is_validation)
    return _parts(*(np.sort(rows[order[mask]]) for mask in (is_train, is_validation, is_test)))


def _spread(count: int, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Mark a share of 0..count-1 at even distances from a random start."""
    start = generator.random()
    marked: NDArray[np.bool_] = np.diff(np.floor(np.arange(count + 1) * share + start)) > 0
    return marked


def _rare(classes: Values, num_parts: int) -> NDArray[np.bool_]:
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    mask: NDArray[np.bool_] = (counts < num_parts)[inverse]
    return mask


def split_by_column(rows: Indices, words: Values, name: str) -> Parts:
    """Divide these row numbers (n,) by the words (n,) of a column.

    Raises: LearningError when a word is missing or unknown, or when no row trains. Deterministic: yes.
    """
    lowered = np.array([None if word is None else str(word).strip().lower() for word in words], dtype=object)
    for row, word in zip(rows.tolist(), lowered.tolist(), strict=True):
        if word not in PARTS:
            found = "nothing" if word is None else shown(word)
            raise LearningError(
                f"Row {row + 1} of the split column {shown(name)} says {found}; expected one of {', '.join(PARTS)}.",
                pointer="/split/column",
            )
    return _parts(*(rows[lowered == part] for part in PARTS))


def _parts(train: Indices, validation: Indices, test: Indices) -> Parts:
    if not len(train):
        raise LearningError("The split leaves no row to train on.", code="too-few-rows", pointer="/split")
    return Parts(train, validation, test)
