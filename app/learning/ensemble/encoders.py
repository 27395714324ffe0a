"""What one member of an ensemble sees of a row: its numbers, and what the target was like in rows of its categories.

Shapes: x_BF inputs as the preparation lays them out, z_BG what the member's network gets: B rows, F and G inputs;
t_BC targets as C columns, tables (slots + 1, C + 1) of statistics by slot, slot 0 for what training did not have.

The statistic of a category is the mean target of its rows, shrunk towards the mean of all, and how many rows it has.
Rows that are learned from get the mean of rows other than themselves (by folds): their own target must not show.

Source: target statistics with empirical Bayes shrinkage, Micci-Barreca, SIGKDD Explorations 3(1), 2001; cross-fitted as
by scikit-learn's TargetEncoder. Deterministic: a function of the rows and the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn

from app.learning.ensemble.looks import MAX_CLASSES, Looks, look_at
from app.learning.graph import Writer
from app.learning.layout import Layout

SHRINKAGE_ROWS = 10.0
INNER_FOLDS = 5
SMALLEST_SHARE = 1e-4
STREAM = 0x57A7

Floats = NDArray[np.float64]
Columns = NDArray[np.float32]


class Encoder(nn.Module):
    """z_BG of x_BF: numbers, statistics, flags, indices of categories. Nothing in it is trained by gradients."""

    def __init__(self, looks: Looks, num_numbers: int, tables: Sequence[Columns]) -> None:
        super().__init__()
        self.looks, self.num_numbers = looks, num_numbers
        self.num_tables = len(tables)
        for number, table in enumerate(tables):
            self.register_buffer(f"table_{number}", torch.from_numpy(table))

    @property
    def layout(self) -> Layout:
        """What the inputs z_BG are."""
        return self.looks.layout

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return z_BG."""
        found = [
            self.get_buffer(f"table_{number}")[x_BF[:, position].long()]
            for number, (position, _) in enumerate(self.looks.looked_up)
        ]
        return self.joined(x_BF, found)

    def joined(self, x_BF: Tensor, found: Sequence[Tensor]) -> Tensor:
        """Return z_BG, given the statistics of each table."""
        kept_BI = x_BF[:, list(self.looks.kept)]
        numbers_BN, rest_BR = kept_BI[:, : self.num_numbers], kept_BI[:, self.num_numbers :]
        return torch.cat([numbers_BN, *found, rest_BR], dim=1)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        parts = [writer.columns(x, self.looks.kept[: self.num_numbers])]
        for number, (position, _) in enumerate(self.looks.looked_up):
            writer.columns(x, (position,), squeeze=True)
            index = writer.add("Cast", to=TensorProto.INT64)
            writer.last = writer.weight(self.get_buffer(f"table_{number}"))
            parts.append(writer.add("Gather", index, axis=0))
        parts.append(writer.columns(x, self.looks.kept[self.num_numbers :]))
        writer.concat([part for part in parts if part])


def fit_encoder(x_BF: Tensor, t_BC: Floats, layout: Layout, *, levels: bool, seed: int) -> tuple[Encoder, Tensor]:
    """Learn the statistics of these rows; returns the encoder, and the cross-fitted z_BG of the rows themselves."""
    looks = look_at(layout, t_BC.shape[1], levels=levels)
    is_share = bool(((t_BC >= 0) & (t_BC <= 1)).all())
    fold_B = np.random.default_rng([STREAM, seed]).permutation(len(t_BC)) % INNER_FOLDS
    tables, found = [], []
    for position, num_slots in looks.looked_up:
        slot_B = x_BF[:, position].numpy().astype(np.intp)
        table = _table(slot_B, t_BC, num_slots, is_share)
        own_BC = table[slot_B]
        for fold in range(INNER_FOLDS):
            others = fold_B != fold
            means = _table(slot_B[others], t_BC[others], num_slots, is_share)[:, :-1]
            own_BC[~others, :-1] = means[slot_B[~others]]
        center, scale = _spread(own_BC)
        tables.append(((table - center) / scale).astype(np.float32))
        found.append(torch.from_numpy(((own_BC - center) / scale).astype(np.float32)))
    encoder = Encoder(looks, layout.num_numbers, tables)
    return encoder, encoder.joined(x_BF, found)


def _table(slot_B: NDArray[np.intp], t_BC: Floats, num_slots: int, is_share: bool) -> Floats:
    """Statistics by slot (slots + 1, C + 1): shrunk means, as log-odds where targets are shares, and log counts."""
    counts = np.bincount(slot_B, minlength=num_slots + 1)
    sums = np.stack([np.bincount(slot_B, weights=column, minlength=num_slots + 1) for column in t_BC.T], axis=1)
    means = (sums + SHRINKAGE_ROWS * t_BC.mean(axis=0)) / (counts + SHRINKAGE_ROWS)[:, None]
    if is_share:
        clipped = np.clip(means, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
        means = np.log(clipped / (1 - clipped))
    return np.column_stack([means, np.log1p(counts)])


def _spread(values_BC: Floats) -> tuple[Floats, Floats]:
    low, center, high = np.quantile(values_BC, (0.25, 0.5, 0.75), axis=0)
    scale = np.where(high > low, high - low, values_BC.std(axis=0))
    return center, np.where(scale > 0, scale, 1.0)


def target_columns(y_B: Floats, num_classes: int) -> Floats:
    """Return targets as columns t_BC: as they are, or one of 0 and 1 for each of the most frequent classes."""
    if num_classes <= 2:
        return y_B[:, None]
    frequent = np.argsort(-np.bincount(y_B.astype(np.intp), minlength=num_classes), kind="stable")[:MAX_CLASSES]
    columns: Floats = (y_B[:, None] == np.sort(frequent)).astype(np.float64)
    return columns
