"""The columns in which a batch prediction answers: their names and types, and their values as Arrow arrays.

Shapes: y_BK answers to B rows: K probabilities, or one value in the scale it was learned; refused_B rows without an
answer, which are missing in every column. Deterministic: yes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.evaluation.conformal import bound_of, intervals_of, sets_of
from app.learning.runtime import class_key
from app.learning.tasks import Label

# So that a name, with a prefix, stays within what a data set takes.
MAX_CLASS_CHARACTERS = 200


class Answers:
    """What a version of this manifest says of a row, as columns: label, probabilities and set, or value and interval.

    Raises: InputError pointing at /interval when the version has none with such a coverage.
    """

    def __init__(
        self, manifest: Mapping[str, Any], *, interval: float | None = None, probabilities: bool = True
    ) -> None:
        output = manifest["output"]
        self.task: str = output["task"]
        self.classes: list[Label] = output["classes"] or []
        self.shift, self.scale = output["shift"], output["scale"]
        self.probabilities = probabilities
        self.bound = None if interval is None else bound_of(interval, manifest.get("conformal"))

    def types(self, prefix: str = "") -> dict[str, str]:
        """The types of the columns by name, in their order; no two names are equal, even when case is ignored."""
        if not self.classes:
            ends = [] if self.bound is None else ["low", "high"]
            return {prefix + name: "real" for name in ("value", *ends)}
        found = [("label", self.label_type)]
        if self.bound is not None:
            found.append(("set", "category"))
        if self.probabilities:
            keys = [class_key(label)[:MAX_CLASS_CHARACTERS].replace("\0", "\ufffd") for label in self.classes]
            found += [(f"probability_{key}", "real") for key in keys]
        names = _apart([prefix + name for name, _ in found])
        return dict(zip(names, (kind for _, kind in found), strict=True))

    @property
    def label_type(self) -> str:
        """The type of the column of labels."""
        kinds = {bool: "boolean", int: "integer", str: "category"}
        return kinds[type(self.classes[0])]


def arrow_columns(answers: Answers, y_BK: NDArray[np.float32], refused_B: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the columns of `answers.types()` for one block of answers."""
    import pyarrow

    names = list(answers.types())
    if not answers.classes:
        values_B = y_BK[:, 0].astype(np.float64) * answers.scale + answers.shift
        ends = () if answers.bound is None else intervals_of(values_B, answers.bound, answers.task)
        return {
            name: pyarrow.array(column_B, mask=refused_B)
            for name, column_B in zip(names, (values_B, *ends), strict=True)
        }
    best_B = pyarrow.array(y_BK.argmax(axis=1), mask=refused_B)
    columns = [pyarrow.array(answers.classes).take(best_B)]
    if answers.bound is not None:
        columns.append(_sets(answers, y_BK, refused_B))
    if answers.probabilities:
        columns += [pyarrow.array(np.ascontiguousarray(column_B), mask=refused_B) for column_B in y_BK.T]
    return dict(zip(names, columns, strict=True))


def _apart(names: list[str]) -> list[str]:
    """The names, with a number after those that another one equals but for case."""
    taken: set[str] = set()
    found = []
    for wanted in names:
        numbered = (wanted if count == 1 else f"{wanted}_{count}" for count in itertools.count(1))
        name = next(name for name in numbered if name.lower() not in taken)
        taken.add(name.lower())
        found.append(name)
    return found


def _sets(answers: Answers, y_BK: NDArray[np.float32], refused_B: NDArray[np.bool_]) -> Any:
    """The labels in the set of each row, as the text of a JSON array; few sets occur, in many rows."""
    import pyarrow

    chosen_BK = sets_of(y_BK.astype(np.float64), answers.bound or 0.0)
    distinct, place_B = np.unique(chosen_BK, axis=0, return_inverse=True)
    texts = [
        json.dumps([label for label, is_in in zip(answers.classes, row, strict=True) if is_in], ensure_ascii=False)
        for row in distinct.tolist()
    ]
    return pyarrow.array(texts).take(pyarrow.array(place_B.reshape(-1), mask=refused_B))
