"""Trees as the attributes of ONNX's operator for them: every node, inner or leaf, is one entry of each list.

Source: TreeEnsembleRegressor of ai.onnx.ml, version 3. Deterministic: yes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def tree_nodes(
    features: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    values: NDArray[np.float32],
    num_outputs: int,
) -> dict[str, list[Any]]:
    """Return the attributes; tree t adds to output t modulo num_outputs.

    Shapes: (trees, nodes), values (trees, leaves); a child below zero is the complement of a leaf. In the lists a leaf
    follows the inner nodes of its tree. Nodes and leaves that no path comes to are left out.
    """
    lists: dict[str, list[Any]] = {name: [] for name in NAMES}
    for tree in range(len(features)):
        inner, leaves = _reached(left[tree].tolist(), right[tree].tolist())
        ids = {node: number for number, node in enumerate(inner)} | {
            ~leaf: len(inner) + number for number, leaf in enumerate(leaves)
        }
        for node in inner:
            _add_node(
                lists, tree, ids[node], "BRANCH_LEQ", int(features[tree, node]), float(thresholds[tree, node]),
                ids[int(left[tree, node])], ids[int(right[tree, node])],
            )  # fmt: skip
        for leaf in leaves:
            _add_node(lists, tree, ids[~leaf], "LEAF", 0, 0.0, 0, 0)
            found = (tree, ids[~leaf], tree % num_outputs, float(values[tree, leaf]))
            for name, value in zip(TARGETS, found, strict=True):
                lists[name].append(value)
    return lists


NODES = (
    "nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_featureids", "nodes_values",
    "nodes_truenodeids", "nodes_falsenodeids",
)  # fmt: skip
TARGETS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")
NAMES = NODES + TARGETS


def _add_node(lists: dict[str, list[Any]], *values: Any) -> None:
    for name, value in zip(NODES, values, strict=True):
        lists[name].append(value)


def _reached(left: list[int], right: list[int]) -> tuple[list[int], list[int]]:
    """The inner nodes and the leaves that can be come to from node 0."""
    inner: list[int] = []
    leaves: list[int] = []
    waiting = [0]
    while waiting:
        node = waiting.pop()
        if node < 0:
            leaves.append(~node)
            continue
        inner.append(node)
        waiting += [left[node], right[node]]
    return inner, sorted(set(leaves))
