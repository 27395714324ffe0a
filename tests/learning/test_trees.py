"""Boosted trees: what the library learned, as tensors and as a graph, decides alike for every float32."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import torch

from app.learning.batches import Data
from app.learning.ensemble.problem import Fold, Problem
from app.learning.ensemble.trees import Trees, as_tensors, learn_trees, rounded_down
from app.learning.export import Answer, export
from app.learning.layout import Layout

TASKS = {"binary": 1, "multiclass": 3, "regression": 1, "soft": 1}


def rows(task: str, num_rows: int = 600) -> Data:
    """Rows whose targets follow from coarse numbers, so that values and thresholds meet."""
    x_BF = torch.from_numpy(np.random.default_rng(0).normal(size=(num_rows, 4)).astype(np.float32)).round(decimals=1)
    targets = {
        "binary": (x_BF[:, 0] + x_BF[:, 1] > 0).float(),
        "multiclass": (x_BF[:, 0] > 0).long() + (x_BF[:, 1] > 0.5).long(),
        "regression": x_BF[:, 0] * 2 + x_BF[:, 1] ** 2,
        "soft": torch.sigmoid(x_BF[:, 0]),
    }
    return Data(x_BF, targets[task])


def learned(task: str, is_over: bool = False) -> Trees:
    data = rows(task)
    fold = Fold(Problem(task, TASKS[task]), Layout(4), data.part(0, 400), data.part(400, 600), seed=0)  # type: ignore[arg-type]
    return learn_trees(fold, lambda message: None, lambda: is_over)


@pytest.mark.parametrize("task", TASKS)
def test_trees_learn_and_their_graph_equals_them(task: str) -> None:
    trees, data = learned(task), rows(task)
    answer = Answer(trees, task)
    y_BK = answer(data.x_BF[400:])
    truth = data.y_B[400:]
    if task in ("binary", "multiclass"):
        assert (y_BK.argmax(dim=1) == truth).float().mean() > 0.9
    else:
        assert (y_BK[:, 0] - truth).abs().mean() < 0.25 * truth.std()
    assert export(answer, data.x_BF)


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again = learned("binary").state_dict(), learned("binary").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_trees_that_are_told_to_end_end_with_what_they_have() -> None:
    assert len(learned("regression", is_over=True).value_TL) == 1


def test_a_row_on_a_threshold_goes_where_the_library_sends_it() -> None:
    data = rows("regression")
    dataset = lightgbm.Dataset(data.x_BF.numpy(), data.y_B.numpy(), params={"verbosity": -1})
    booster = lightgbm.train({"objective": "regression", "verbosity": -1, "num_threads": 1}, dataset, 20)
    trees = Trees(as_tensors(booster.dump_model(), Problem("regression", 1)))
    edges = torch.unique(trees.threshold_TN)
    # To the library numbers within 1e-35 are zero, so next to that there is nothing to compare.
    edges = edges[edges.abs() > 1e-30]
    grid = torch.cat([edges, torch.nextafter(edges, torch.tensor(torch.inf)), torch.zeros(1)])
    x_BF = grid[:, None].repeat(1, 4)
    assert np.allclose(trees(x_BF)[:, 0].numpy(), booster.predict(x_BF.numpy()), atol=1e-5)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1e-40, 1.0, 16777217.0, -16777217.0])
def test_a_threshold_is_rounded_down_so_that_every_float32_decides_alike(threshold: float) -> None:
    rounded = np.float32(rounded_down(threshold))
    for x in (rounded, np.nextafter(rounded, np.float32(np.inf)), np.nextafter(rounded, np.float32(-np.inf))):
        assert (float(x) <= threshold) == bool(x <= rounded)


def test_a_tree_of_one_leaf_is_its_value() -> None:
    model = {"tree_info": [{"tree_structure": {"leaf_value": 2.5}}]}
    trees = Trees(as_tensors(model, Problem("regression", 1)))
    assert trees(torch.zeros(3, 2)).flatten().tolist() == [2.5] * 3
    assert export(Answer(trees, "regression"), torch.zeros(3, 2))
