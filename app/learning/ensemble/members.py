"""What a member of an ensemble does with one fold, and how its network is put together again from what it learned.

Shapes: z_BG inputs of a member (see encoders), y_B targets as learned. Deterministic: a function of fold and seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.learning.ensemble.crew import IsOver, Tell
from app.learning.ensemble.problem import Fold, Problem
from app.learning.ensemble.roster import Boosted, Linear, Network, Recipe
from app.learning.ensemble.trees import MOST_ROUNDS, Trees, learn_trees
from app.learning.errors import LearningError
from app.learning.evaluation.linear import fit_layer
from app.learning.layout import Layout
from app.learning.loop import Training
from app.learning.losses import make_loss
from app.learning.networks.abilities import FittedToData
from app.learning.networks.spread import Spread, spread_places
from app.learning.spec import LOSSES
from app.learning.weights import Tensors

# An epoch of fewer rows has fewer steps, and overfitting needs no more passes than that.
MOST_EPOCHS, FEWEST_EPOCHS, ROWS_LEARNED = 64, 4, 1_500_000
SMALL, MIDDLING = 20_000, 100_000
PATIENCE_SHARE = 0.4


def learn(recipe: Recipe, fold: Fold, tell: Tell, is_over: IsOver) -> nn.Module:
    """Return a network from z_BG to raw outputs, in evaluation mode, trained until the rows held out say stop.

    Raises: LearningError.
    """
    if isinstance(recipe, Network):
        return _learn_network(recipe, fold, tell, is_over)
    return learn_trees(fold, tell, is_over) if isinstance(recipe, Boosted) else _learn_linear(fold, is_over)


def _learn_linear(fold: Fold, is_over: IsOver) -> nn.Module:
    problem, rows = fold.problem, fold.learn
    fitted = fit_layer(fold.layout, rows.x_BF, rows.y_B, problem.task, problem.num_outputs, is_over)
    if fitted is None:
        raise LearningError("The linear member came to nothing: there was no time, or its loss was not finite.")
    return fitted.network


def _learn_network(recipe: Network, fold: Fold, tell: Tell, is_over: IsOver) -> nn.Module:
    problem, num_rows = fold.problem, len(fold.learn)
    epochs, batch_size = sizes(num_rows)
    stopping = {"patience": max(4, round(PATIENCE_SHARE * epochs))}
    build, params = recipe.resolve(
        problem.task, num_rows, epochs=epochs, batch_size=batch_size, early_stopping=stopping
    )
    torch.manual_seed(fold.seed)
    network = build(fold.layout, problem.num_outputs, params, torch.float32)
    if isinstance(network, FittedToData):
        network.fit(fold.learn.x_BF, fold.learn.y_B, problem.task)
    name = LOSSES[problem.task][0]
    loss, plain = make_loss(name, problem.task, label_smoothing=params.label_smoothing), make_loss(name, problem.task)
    training = Training(network, params, loss, plain, train=fold.learn, validation=fold.held_out, seed=fold.seed)
    training.run(lambda _: "finish" if is_over() else None, _teller(tell))
    training.restore_best()
    return network


def sizes(num_rows: int) -> tuple[int, int]:
    """How many epochs, and how many rows a step, when there are so many rows to learn from."""
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, ROWS_LEARNED // num_rows))
    return epochs, 256 if num_rows < SMALL else 512 if num_rows < MIDDLING else 1024


def num_steps(recipe: Recipe, num_rows: int) -> int:
    """Return the most steps that a member takes to learn so many rows."""
    if not isinstance(recipe, Network):
        return MOST_ROUNDS if isinstance(recipe, Boosted) else 1
    epochs, batch_size = sizes(num_rows)
    return epochs * math.ceil(num_rows / batch_size)


def restore(recipe: Recipe, problem: Problem, layout: Layout, tensors: Tensors) -> nn.Module:
    """Return the network of these tensors: built as it was built, then its state put back."""
    if isinstance(recipe, Boosted):
        return Trees(tensors).eval()
    if isinstance(recipe, Linear):
        spread = Spread(layout, {place: tensors[f"0.slots_{place}"] for place in spread_places(layout)})
        network: nn.Module = nn.Sequential(spread, nn.Linear(spread.width, problem.num_outputs))
        network.load_state_dict(tensors)
        return network.eval()
    build, params = recipe.resolve(problem.task, 0)
    network = build(layout, problem.num_outputs, params, torch.float32)
    network.load_state_dict(tensors)
    return network.eval()


def _teller(tell: Tell) -> Callable[[Training], None]:
    """Tell how far a training is, at the end of each epoch."""

    def end_epoch(training: Training) -> None:
        progress = training.progress
        tell(
            {
                "step": training.step,
                "num_steps": training.num_steps,
                "epoch": progress.epoch,
                "train_loss": progress.train_loss,
                "validation_loss": progress.validation_loss,
            }
        )

    return end_epoch


def answers(out_BK: Tensor, task: str) -> Tensor:
    """Return raw outputs as what is averaged: probabilities of all classes, shares, or values (rows, K)."""
    if task == "multiclass":
        return torch.softmax(out_BK, dim=1)
    return out_BK if task == "regression" else torch.sigmoid(out_BK)
