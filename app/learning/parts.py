"""Which rows train, which validate and which test: a function of the request, the data and the seed only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.data import Indices, Values, is_missing
from app.learning.errors import LearningError, shown
from app.learning.splits import Split

PARTS = ("train", "validation", "test")
# Enough for PCG64 to be independent of the streams of other uses of the same seed.
STREAM = 0x5B117
MAX_ROWS_NAMED = 5
# Of a few rows a part may always be off by two; beyond that, one in twenty of all rows is worth a word.
ROWS_OFF, SHARE_OFF = 2, 0.05

Mask = NDArray[np.bool_]


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


def divide(rows: Indices, split: Split, *, key: Values | None, classes: Values | None, seed: int) -> Parts:
    """Divide these row numbers (n,) as a resolved split says.

    `key` (n,) are the values of its column, `classes` (n,) those of the target where it has classes.
    Raises: LearningError when a row has no place, or none is left for training. Deterministic: a function of
    the arguments.
    """
    if key is None or split.column is None:
        classes = None if split.method == "random" else classes
        if split.method == "folds":
            return split_by_fold(rows, split, groups=None, classes=classes, seed=seed)
        return split_rows(rows, split, classes=classes, seed=seed)
    if split.method == "column":
        return split_by_column(rows, key, split.column)
    _refuse_missing(rows, key, split.column)
    if split.method == "time":
        return split_by_time(rows, key, split)
    if split.method == "group":
        return split_by_group(rows, key, split, seed=seed)
    return split_by_fold(rows, split, groups=key, classes=None, seed=seed)


def split_rows(rows: Indices, split: Split, *, classes: Values | None, seed: int) -> Parts:
    """Divide these row numbers (n,) at random; with `classes` (n,) each class is divided alike.

    Every part of a stratified split differs from its exact share of a class by less than two rows. A class
    with fewer rows than there are parts goes to training whole: it can be learned but not measured.
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


def _spread(count: int, share: float, generator: np.random.Generator) -> Mask:
    """Mark a share of 0..count-1 at even distances from a random start."""
    start = generator.random()
    marked: Mask = np.diff(np.floor(np.arange(count + 1) * share + start)) > 0
    return marked


def _rare(classes: Values, num_parts: int) -> Mask:
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    mask: Mask = (counts < num_parts)[inverse]
    return mask


def split_by_column(rows: Indices, words: Values, name: str) -> Parts:
    """Divide these row numbers (n,) by the words (n,) of a column."""
    lowered = np.array([None if word is None else str(word).strip().lower() for word in words], dtype=object)
    for row, word in zip(rows.tolist(), lowered.tolist(), strict=True):
        if word not in PARTS:
            found = "nothing" if word is None else shown(word)
            raise LearningError(
                f"Row {row + 1} of the split column {shown(name)} says {found}; expected one of {', '.join(PARTS)}.",
                pointer="/split/column",
            )
    return _parts(*(rows[lowered == part] for part in PARTS))


def _refuse_missing(rows: Indices, key: Values, name: str) -> None:
    without = rows[is_missing(key)]
    if len(without):
        named = ", ".join(str(row + 1) for row in without[:MAX_ROWS_NAMED].tolist())
        raise LearningError(
            f"{len(without)} rows have no value in the split column {shown(name)} and so no place: row {named}.",
            pointer="/split/column",
        )


def split_by_time(rows: Indices, times: Values, split: Split) -> Parts:
    """Divide these row numbers (n,) by their times (n,): the oldest train, the newest test; the seed plays no part.

    A border between two parts lies where the time changes, as near to the stated share as that allows, so
    equal times stay together; each part that is asked for gets rows as long as there are times for all.
    """
    order = np.argsort(times, kind="stable")
    borders = np.flatnonzero(times[order][1:] != times[order][:-1]) + 1
    # The oldest border is the validation part's when there is a later one for the test part.
    later = borders[1:] if split.validation and len(borders) > 1 else borders
    end_of_validation = _nearest(later, split.test, len(rows), otherwise=len(rows))
    earlier = borders[borders < end_of_validation] if split.validation else borders[:0]
    end_of_train = _nearest(earlier, split.validation + split.test, len(rows), otherwise=end_of_validation)
    cuts = (order[:end_of_train], order[end_of_train:end_of_validation], order[end_of_validation:])
    return _parts(*(np.sort(rows[cut]) for cut in cuts))


def _nearest(borders: Indices, share_after: float, num_rows: int, *, otherwise: int) -> int:
    if not share_after or not len(borders):
        return otherwise
    return int(borders[np.abs(borders - num_rows * (1.0 - share_after)).argmin()])


def split_by_group(rows: Indices, groups: Values, split: Split, *, seed: int) -> Parts:
    """Divide these row numbers (n,) so that all rows of a group (n,) are in one part.

    Groups in random order fill the test part, then the validation part, as near to their shares as whole
    groups allow; each of the two gets a group as long as one is left for training.
    """
    generator = np.random.default_rng([STREAM, seed])
    group_of, sizes = _numbered(groups)
    left = generator.permutation(len(sizes)).tolist()
    chosen = {}
    for part, share in (("test", split.test), ("validation", split.validation)):
        chosen[part] = _fill(left, sizes, share * len(rows))
        taken = set(chosen[part])
        left = [group for group in left if group not in taken]
    masks = (np.isin(group_of, np.array(those, np.intp)) for those in (left, chosen["validation"], chosen["test"]))
    return _parts(*(rows[mask] for mask in masks))


def _fill(groups: Sequence[int], sizes: Sequence[int], wanted: float) -> list[int]:
    """Take the groups that bring the number of rows nearer to what is wanted, but never all of them."""
    if not wanted or len(groups) < 2:
        return []
    taken: list[int] = []
    num_rows = 0
    for group in groups:
        if sizes[group] < 2 * (wanted - num_rows) and len(taken) < len(groups) - 1:
            taken.append(group)
            num_rows += sizes[group]
    return taken or [min(groups, key=sizes.__getitem__)]


def split_by_fold(rows: Indices, split: Split, *, groups: Values | None, classes: Values | None, seed: int) -> Parts:
    """Divide these row numbers (n,) into folds, one of which tests; the validation part comes from the others.

    Over all folds of one seed every row tests once. Folds differ by one row at most, also within a class (n,);
    with `groups` (n,) all rows of a group are in one fold, and folds are as equal as that allows.
    """
    num_folds = split.folds or 1
    generator = np.random.default_rng([STREAM, seed])
    if groups is None:
        order = generator.permutation(len(rows))
        if classes is not None:
            order = order[np.argsort(classes[order], kind="stable")]
        fold_of = np.empty(len(rows), np.intp)
        fold_of[order] = np.arange(len(rows)) % num_folds
    else:
        fold_of = _fold_groups(groups, num_folds, generator)
    is_test = fold_of == split.fold
    rest = split.model_copy(update={"validation": split.validation / (1.0 - split.test_share), "test": 0.0})
    others = rows[~is_test]
    if groups is None:
        inner = split_rows(others, rest, classes=None if classes is None else classes[~is_test], seed=seed)
    else:
        inner = split_by_group(others, groups[~is_test], rest, seed=seed)
    return Parts(inner.train, inner.validation, rows[is_test])


def _fold_groups(groups: Values, num_folds: int, generator: np.random.Generator) -> Indices:
    """Deal groups to the fold with the fewest rows: large ones first, those of about one size in random order."""
    group_of, sizes = _numbered(groups)
    if len(sizes) < num_folds:
        raise LearningError(f"{len(sizes)} groups cannot make {num_folds} folds.", pointer="/split/folds")
    order = sorted(generator.permutation(len(sizes)).tolist(), key=lambda group: -sizes[group].bit_length())
    num_rows = [0] * num_folds
    fold_of_group = np.empty(len(sizes), np.intp)
    for group in order:
        fold = num_rows.index(min(num_rows))
        fold_of_group[group] = fold
        num_rows[fold] += sizes[group]
    return fold_of_group[group_of]


def _numbered(groups: Values) -> tuple[Indices, list[int]]:
    """Return the number of every row's group (n,), in the order in which groups appear, and the groups' sizes."""
    numbers: dict[Any, int] = {}
    group_of = np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups.tolist()), np.intp, len(groups))
    return group_of, np.bincount(group_of).tolist()


def _parts(train: Indices, validation: Indices, test: Indices) -> Parts:
    if not len(train):
        raise LearningError("The split leaves no row to train on.", code="too-few-rows", pointer="/split")
    return Parts(train, validation, test)


def shares_missed(parts: Parts, split: Split) -> list[tuple[str, float, int]]:
    """Return the parts that are empty or far from the share asked for: name, that share, number of rows."""
    if split.method == "column":
        return []
    num_rows = len(parts.train) + len(parts.validation) + len(parts.test)
    asked = (("validation", split.validation, len(parts.validation)), ("test", split.test_share, len(parts.test)))
    allowed = max(ROWS_OFF, SHARE_OFF * num_rows)
    return [
        (part, share, count)
        for part, share, count in asked
        if share and (not count or abs(count - share * num_rows) > allowed)
    ]
