"""One member on one fold: the rows it sees, what it learns in a process of its own, and the file it leaves.

Shapes: x_BF inputs and y_B targets of all rows to learn from, fold_B the fold of each row (-1: never held out).
Deterministic: what a task leaves is a function of the rows, the member, the fold and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.learning import weights
from app.learning.batches import Data
from app.learning.ensemble import members
from app.learning.ensemble.crew import IsOver, Tell
from app.learning.ensemble.encoders import Encoder, fit_encoder, target_columns
from app.learning.ensemble.looks import look_at
from app.learning.ensemble.problem import Fold, Problem
from app.learning.ensemble.roster import Recipe
from app.learning.layout import Layout
from app.learning.learned import outputs
from app.learning.weights import Tensors

# More rows than this make a member slower, not better, within the time there is.
MAX_ROWS = 1_000_000
STREAM = 0xF01D
ENCODER, NETWORK, HELD_OUT = "encoder.", "network.", "held_out"

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of an ensemble: what every task looks at."""

    x_BF: Tensor
    y_B: Tensor
    fold_B: Numbers
    layout: Layout
    problem: Problem
    seed: int

    @property
    def folds(self) -> list[int]:
        """The folds that are held out by turns."""
        return sorted(set(self.fold_B[self.fold_B >= 0].tolist()))


def make_folds(num_rows: int, num_folds: int, *, classes: Numbers | None, seed: int) -> Numbers:
    """Return a fold for every row, at random; with `classes` each class is divided alike. Deterministic."""
    order = np.random.default_rng([STREAM, seed]).permutation(num_rows)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    fold_B = np.empty(num_rows, np.int64)
    fold_B[order] = np.arange(num_rows) % num_folds
    return fold_B


def learn_fold(rows: Rows, recipe: Recipe, fold: int, file: Path, tell: Tell, is_over: IsOver) -> None:
    """Learn all folds but one, answer that one, and leave both in `file`. Raises: LearningError."""
    seed = int(np.random.default_rng([STREAM, rows.seed, fold]).integers(2**31))
    learn, held_out = _numbers(rows, fold, seed)
    x_BF, y_B = rows.x_BF[learn], rows.y_B[learn]
    t_BC = target_columns(y_B.double().numpy(), rows.problem.num_outputs)
    encoder, z_BG = fit_encoder(x_BF, t_BC, rows.layout, levels=recipe.levels, seed=seed)
    held_out_BG = encoder(rows.x_BF[held_out])
    parts = Data(z_BG, y_B), Data(held_out_BG, rows.y_B[held_out])
    network = members.learn(recipe, Fold(rows.problem, encoder.layout, *parts, seed), tell, is_over)
    tensors = {ENCODER + name: tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {NETWORK + name: tensor for name, tensor in network.state_dict().items()}
    weights.write(file, tensors | {HELD_OUT: torch.from_numpy(outputs(network, held_out_BG))})


def _numbers(rows: Rows, fold: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows to learn from, at most MAX_ROWS of them, and those to hold out."""
    learn = np.flatnonzero(rows.fold_B != fold)
    if len(learn) > MAX_ROWS:
        learn = np.sort(np.random.default_rng([STREAM, seed]).choice(learn, MAX_ROWS, replace=False))
    return torch.from_numpy(learn), torch.from_numpy(np.flatnonzero(rows.fold_B == fold))


def restore(rows: Rows, recipe: Recipe, tensors: Tensors) -> nn.Module:
    """Return the network of a task, from x_BF to raw outputs, in evaluation mode."""
    num_targets = target_columns(np.zeros(1), rows.problem.num_outputs).shape[1]
    looks = look_at(rows.layout, num_targets, levels=recipe.levels)
    tables = [tensors[f"{ENCODER}table_{number}"].numpy() for number in range(len(looks.looked_up))]
    encoder = Encoder(looks, rows.layout.num_numbers, tables)
    states = {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
    return nn.Sequential(encoder, members.restore(recipe, rows.problem, looks.layout, states)).eval()
