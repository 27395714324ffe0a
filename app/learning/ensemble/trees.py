"""Gradient-boosted trees of LightGBM as a member: learned by the library, kept as tensors, computed by torch or ONNX.

Nothing of the library's own format is stored or read: nodes are arrays. A decision is x <= threshold in float32; the
library compares in float64, so thresholds are rounded down, which decides alike for every float32.

Shapes: z_BG inputs, T trees of at most N nodes each, K outputs. Nodes are numbered within their tree, leaves too.
Deterministic: one thread, fixed seeds. Source: Ke et al., LightGBM, NIPS 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.learning.batches import Data
from app.learning.ensemble.crew import IsOver, Tell
from app.learning.ensemble.problem import Fold, Problem
from app.learning.graph import Writer
from app.learning.weights import Tensors

MOST_ROUNDS = 2000
PATIENCE_ROUNDS = 100
ROUNDS_TOLD = 20
MOST_PLACES = 1 << 20
OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression", "soft": "cross_entropy"}
# Smaller steps and fewer leaves than the library's defaults, which suit the small tables of most people; columns and
# rows are sampled, and leaves with few rows shrunk.
PARAMS: dict[str, Any] = {
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 10,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 255,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
# Of many rows finer trees can be learned, and larger steps save the time.
MANY_ROWS = 20_000
PARAMS_OF_MANY = {"learning_rate": 0.06, "num_leaves": 63, "min_data_in_leaf": 20}


class Trees(nn.Module):
    """The sum of the leaves that a row comes to, one tree after the other; nothing is trained by gradients."""

    feature_TN: Tensor
    threshold_TN: Tensor
    left_TN: Tensor
    right_TN: Tensor
    value_TL: Tensor
    start_K: Tensor

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.depth = _depth(self.left_TN.numpy(), self.right_TN.numpy())

    def forward(self, z_BG: Tensor) -> Tensor:
        """Return raw outputs (rows, K), a few rows at a time: every row is in as many places as there are trees."""
        step = max(1, MOST_PLACES // len(self.value_TL))
        return torch.cat([self._sums(z_BG[start : start + step]) for start in range(0, max(1, len(z_BG)), step)])

    def _sums(self, z_BG: Tensor) -> Tensor:
        num_trees, num_outputs = len(self.value_TL), len(self.start_K)
        tree_T = torch.arange(num_trees)
        # Below zero stands the complement of a leaf, as in the library.
        node_BT = torch.zeros(len(z_BG), num_trees, dtype=torch.long)
        for _ in range(self.depth):
            inner_BT = node_BT.clamp_min(0)
            feature_BT = self.feature_TN[tree_T, inner_BT]
            goes_left_BT = z_BG.gather(1, feature_BT) <= self.threshold_TN[tree_T, inner_BT]
            below_BT = torch.where(goes_left_BT, self.left_TN[tree_T, inner_BT], self.right_TN[tree_T, inner_BT])
            node_BT = torch.where(node_BT >= 0, below_BT, node_BT)
        value_BT = self.value_TL[tree_T, ~node_BT]
        out_BK: Tensor = self.start_K + value_BT.reshape(len(z_BG), -1, num_outputs).sum(dim=1)
        return out_BK

    def write(self, writer: Writer) -> None:
        """Add the same to a graph, as one operator."""
        writer.trees(
            features=self.feature_TN.numpy(),
            thresholds=self.threshold_TN.numpy(),
            left=self.left_TN.numpy(),
            right=self.right_TN.numpy(),
            values=self.value_TL.numpy(),
            starts=self.start_K.numpy(),
        )


def _depth(left_TN: NDArray[np.int64], right_TN: NDArray[np.int64]) -> int:
    """The most decisions on the way to a leaf; children have higher numbers than their parents."""
    depth_TN = np.ones(left_TN.shape, np.int64)
    for node in reversed(range(left_TN.shape[1])):
        for child_T in (left_TN[:, node], right_TN[:, node]):
            below_T = np.where(child_T > 0, depth_TN[np.arange(len(child_T)), np.maximum(child_T, 0)], 0)
            depth_TN[:, node] = np.maximum(depth_TN[:, node], 1 + below_T)
    return int(depth_TN[:, 0].max())


def learn_trees(fold: Fold, tell: Tell, is_over: IsOver) -> Trees:
    """Return trees that were added until the rows held out said stop."""
    import lightgbm

    many = PARAMS_OF_MANY if len(fold.learn) >= MANY_ROWS else {}
    params = PARAMS | many | {"objective": OBJECTIVES[fold.problem.task], "seed": fold.seed}
    if fold.problem.task == "multiclass":
        params["num_class"] = fold.problem.num_outputs
    learned = _dataset(lightgbm, fold.learn, params)
    held_out = lightgbm.Dataset(fold.held_out.x_BF.numpy(), fold.held_out.y_B.numpy(), reference=learned)
    stop = lightgbm.early_stopping(PATIENCE_ROUNDS, verbose=False)
    booster = lightgbm.train(
        params, learned, MOST_ROUNDS, valid_sets=[held_out], callbacks=[stop, _watch(lightgbm, tell, is_over)]
    )  # fmt: skip
    return Trees(as_tensors(booster.dump_model(num_iteration=booster.best_iteration or -1), fold.problem))


def _dataset(lightgbm: Any, data: Data, params: dict[str, Any]) -> Any:
    return lightgbm.Dataset(data.x_BF.numpy(), data.y_B.numpy(), params={"verbosity": -1, "max_bin": params["max_bin"]})


def _watch(lightgbm: Any, tell: Tell, is_over: IsOver) -> Any:
    """A callback of the library that tells how far it is, and ends the training when it shall end."""

    def watch(env: Any) -> None:
        number = env.iteration + 1
        if number % ROUNDS_TOLD == 0:
            loss = env.evaluation_result_list[0][2]
            tell({"step": number, "num_steps": MOST_ROUNDS, "epoch": number, "validation_loss": loss})
        if is_over():
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    return watch


def as_tensors(model: dict[str, Any], problem: Problem) -> Tensors:
    """Return the nodes of a dumped model as arrays; a tree that is a single leaf decides nothing, in one decision."""
    trees = [_nodes(info["tree_structure"]) for info in model["tree_info"]]
    num_nodes = max(len(features) for features, *_ in trees)
    num_leaves = max(len(values) for *_, values in trees)
    feature, left, right = (np.zeros((len(trees), num_nodes), np.int64) for _ in range(3))
    threshold = np.zeros((len(trees), num_nodes), np.float32)
    value = np.zeros((len(trees), num_leaves), np.float32)
    wholes: tuple[NDArray[Any], ...] = (feature, threshold, left, right, value)
    for number, arrays in enumerate(trees):
        parts: tuple[list[Any], ...] = arrays
        for whole, part in zip(wholes, parts, strict=True):
            whole[number, : len(part)] = part
    found = {"feature_TN": feature, "threshold_TN": threshold, "left_TN": left, "right_TN": right, "value_TL": value}
    tensors = {name: torch.from_numpy(array) for name, array in found.items()}
    return tensors | {"start_K": torch.zeros(problem.num_outputs)}


def _nodes(root: dict[str, Any]) -> tuple[list[int], list[float], list[int], list[int], list[float]]:
    """The decisions of a tree in depth-first order, a parent before its children, and the values of its leaves."""
    features: list[int] = []
    thresholds: list[float] = []
    left: list[int] = []
    right: list[int] = []
    values: list[float] = []

    def visit(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            values.append(node["leaf_value"])
            return ~(len(values) - 1)
        number = len(features)
        features.append(node["split_feature"])
        thresholds.append(rounded_down(node["threshold"]))
        left.append(0)
        right.append(0)
        left[number] = visit(node["left_child"])
        right[number] = visit(node["right_child"])
        return number

    if visit(root) < 0:
        return [0], [0.0], [~0], [~0], values
    return features, thresholds, left, right, values


def rounded_down(threshold: float) -> float:
    """Return the largest float32 that is not above a threshold: for every float32 x, x <= both or neither."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))
