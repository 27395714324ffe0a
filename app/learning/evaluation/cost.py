"""How long measuring a finished training takes, roughly: for the time that is told to be left. Imports no torch.

Seconds are those of one core of 2024, measured: a row drawn by the bootstrap, and a cell seen by the linear baseline.
Deterministic: a function of the numbers of rows, inputs and classes.
"""

from __future__ import annotations

from app.learning.evaluation.bootstrap import affordable
from app.learning.prepared import Prepared
from app.learning.spec import CLASSIFICATION

SECONDS_A_RANKED_DRAW = {"binary": 1.1e-7, "multiclass": 0.5e-7}
SECONDS_A_DRAW = 0.2e-7
# Least squares are found in fewer iterations than probabilities.
SECONDS_A_CELL = {True: 2e-6, False: 0.5e-6}
# The baseline looks at no more cells than these, and is left alone after so long.
MOST_CELLS = 2_000_000


def evaluation_seconds(prepared: Prepared) -> float:
    """Return the seconds that the bootstrap of the validation and the test part and the linear baseline take."""
    is_classification, num_classes = prepared.head.task in CLASSIFICATION, len(prepared.head.classes)
    rankings = 0 if not is_classification else 1 if num_classes == 2 else num_classes
    seconds = 0.0
    for part in ("validation", "test"):
        num_rows = len(prepared.rows[part])
        count, ranked = affordable(num_rows, rankings)
        per_draw = rankings * SECONDS_A_RANKED_DRAW.get(prepared.head.task, 0.0) if ranked else 0.0
        seconds += count * num_rows * max(per_draw, SECONDS_A_DRAW)
    cells = len(prepared.rows["train"]) * prepared.preparation.layout.num_inputs
    return seconds + SECONDS_A_CELL[is_classification] * min(cells, MOST_CELLS)
