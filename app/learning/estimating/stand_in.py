"""Rows that stand in for those of the whole data set: as wide as they will be, whatever a sample has seen.

Deterministic: a function of layout and number of rows.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from app.learning.layout import Layout
from app.learning.prepared import Prepared
from app.learning.preprocess import Inputs


def widened(prepared: Prepared, layout: Layout) -> Prepared:
    """Return a prepared sample whose inputs have the layout of the whole data set; its targets stay."""
    if prepared.preparation.layout == layout:
        return prepared
    preparation = copy.copy(prepared.preparation)
    preparation.layout = layout
    rows = {name: replace(part, x_BF=stand_in(layout, len(part))) for name, part in prepared.rows.items()}
    return replace(prepared, preparation=preparation, rows=rows)


def stand_in(layout: Layout, num_rows: int) -> Inputs:
    """Return x_BF with normal numbers, no flags, and a random slot of every block."""
    generator = np.random.default_rng(0)
    x_BF = np.zeros((num_rows, layout.num_inputs), np.float32)
    x_BF[:, : layout.num_numbers] = generator.normal(size=(num_rows, layout.num_numbers))
    for start, block in layout.places:
        slots_B = generator.integers(block.num_slots, size=num_rows)
        if block.encoding == "one_hot":
            x_BF[np.arange(num_rows), start + slots_B] = 1.0
        elif block.encoding == "ordinal":
            x_BF[:, start] = (slots_B + 1) / block.num_slots
        else:
            x_BF[:, start] = slots_B + 1
    return x_BF
