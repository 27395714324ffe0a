"""Which single columns know the target: each is tried alone, learned on one half of the rows, measured on the other.

Source: ours. Thresholds are such that a copy of the target with a little noise is found, and a good feature is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.datasets.asking.samples import CLASSES, NUMBERS, sample, values
from app.datasets.asking.stored import connect_to, open_stored
from app.datasets.engine import rows
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress

MAX_ROWS = 100_000
MAX_INTEGER_CLASSES = 20
MIN_SCORE = 0.995
# Where one class is nearly all, its share alone would pass for a good score.
MIN_SHARE_OF_WHAT_IS_LEFT = 0.9
CODE = "leaks-target"


def find_leaks(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `leaks`: how well each column of `stored` tells the target alone, and a warning where too well."""
    import numpy as np

    from app.datasets.asking import leak_scores

    connection = connect_to(inputs, limits)
    progress.phase("looking for leaks", connection)
    table = open_stored(connection, "stored", arguments["columns"])
    target = arguments["target"]
    sampled = sample(connection, table, MAX_ROWS)
    num_distinct = rows(connection, f"SELECT count(DISTINCT {table.cells[target]}) FROM {table.view}")[0][0]
    classifies = table.types[target] in CLASSES or (
        table.types[target] == "integer" and num_distinct <= MAX_INTEGER_CLASSES
    )
    ((_, wanted),) = values(connection, sampled, [target])
    present = ~np.isnan(wanted)
    score = leak_scores.Classes(wanted[present]) if classifies else leak_scores.Numbers(wanted[present])
    names = [name for name, kind in table.types.items() if name != target and kind in NUMBERS | CLASSES]
    scores = {
        name: score(cells[present], is_number=table.types[name] in NUMBERS)
        for name, cells in values(connection, sampled, names)
    }
    baseline = score.baseline
    enough = max(MIN_SCORE, baseline + MIN_SHARE_OF_WHAT_IS_LEFT * (1 - baseline))
    found = [name for name in names if score.is_telling and scores[name] >= enough]
    return {
        "task": "classification" if classifies else "regression",
        "baseline": baseline,
        "num_rows": int(present.sum()),
        "columns": [{"column": name, "score": scores[name]} for name in sorted(names, key=lambda name: -scores[name])],
        "warnings": [_warning(name, target, scores[name], classifies=classifies) for name in found],
    }


def _warning(name: str, target: str, score: float, *, classifies: bool) -> dict[str, Any]:
    how = (
        f"tells the class right for {score:.1%} of the rows" if classifies else f"explains {score:.1%} of its variance"
    )
    detail = (
        f"Alone it {how}: it may be a copy of {target}, or made from it. "
        "Leave it out unless it is known before the target is."
    )
    return {"column": name, "code": CODE, "score": score, "detail": detail}
