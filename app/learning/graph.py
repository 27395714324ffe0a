"""ONNX graphs of layer sequences, written node by node: ten milliseconds instead of a second of tracing.

Only modules whose meaning in ONNX is certain are known here, and those that say it themselves (Writable); for
anything else `write_graph` returns None and the caller traces. Whatever comes out is compared with torch before it is
served. Deterministic: yes.
Source: the operator definitions of ONNX opset 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from app.learning.tree_graph import tree_nodes

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
IR_VERSION = 10
LEAVES_AS_IS = (nn.Identity, nn.Dropout)
SIMPLE: dict[type[nn.Module], str] = {
    nn.ReLU: "Relu",
    nn.Sigmoid: "Sigmoid",
    nn.Tanh: "Tanh",
}


@runtime_checkable
class Writable(Protocol):
    """A module that says itself how it is computed in a graph, from the last value to a new last value."""

    def write(self, writer: Writer) -> None:
        """Add its nodes."""


class Unwritable(Exception):
    """A module whose meaning in ONNX is not known here."""


class Writer:
    """Nodes and weights in the making; `last` is the name of the value computed so far."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.last = "x"

    def add(self, operator: str, *more: str, **attributes: Any) -> str:
        """Apply an operator to the last value (and `more`), and make its result the last value."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *more], [name], **attributes))
        self.last = name
        return name

    def apply(self, operator: str, value: str, *more: str, **attributes: Any) -> str:
        """Apply an operator to a value (and `more`), and make its result the last value."""
        self.last = value
        return self.add(operator, *more, **attributes)

    def module(self, module: nn.Module, value: str) -> str:
        """Apply a module to a value, and make its result the last value. Raises: Unwritable."""
        self.last = value
        _write_module(self, module)
        return self.last

    def flattened(self, value: str) -> str:
        """Put all but the rows of a value side by side."""
        shape = self.constant(np.array([0, -1], np.int64))
        return self.apply("Reshape", value, shape)

    def trees(
        self,
        *,
        features: NDArray[np.int64],
        thresholds: NDArray[np.float32],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        values: NDArray[np.float32],
        starts: NDArray[np.float32],
    ) -> str:
        """Apply trees (see ensemble/trees.py) to the last value: the sum of the leaves for each output."""
        nodes = tree_nodes(features, thresholds, left, right, values, len(starts))
        return self.add(
            "TreeEnsembleRegressor", domain="ai.onnx.ml", n_targets=len(starts), aggregate_function="SUM",
            post_transform="NONE", base_values=starts.tolist(), **nodes,
        )  # fmt: skip

    def constant(self, array: NDArray[Any]) -> str:
        """Store an array inside the graph and return its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def columns(self, value: str, positions: Sequence[int], *, squeeze: bool = False) -> str:
        """Take columns of a value (rows, columns) in this order; `squeeze` makes one column a vector."""
        numbers = np.array(positions[0] if squeeze else positions, np.int64)
        return self.apply("Gather", value, self.constant(numbers), axis=1)

    def concat(self, values: Sequence[str]) -> str:
        """Put values (rows, columns) side by side."""
        return self.apply("Concat", *values, axis=1)

    def weight(self, tensor: torch.Tensor | None) -> str:
        """Store a tensor inside the graph and return its name."""
        return self.constant(np.zeros(0, np.float32) if tensor is None else tensor.detach().numpy())


def write_graph(network: nn.Module, task: str, num_inputs: int, temperature: float = 1.0) -> bytes | None:
    """Return the graph from "x" to "y" of known modules, or None when there is an unknown one."""
    writer = Writer()
    try:
        writer.module(network, "x")
    except Unwritable:
        return None
    if temperature != 1.0:
        writer.add("Div", writer.weight(torch.tensor(temperature)))
    _write_head(writer, task)
    writer.add("Identity")
    writer.nodes[-1].output[0] = "y"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", num_inputs])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", None])]
    body = helper.make_graph(writer.nodes, "answer", inputs, outputs, writer.weights)
    model = helper.make_model(body, opset_imports=OPSETS, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    graph: bytes = model.SerializeToString()
    return graph


def _write_module(writer: Writer, module: nn.Module) -> None:
    # Exact types, because a subclass may compute something else.
    kind = type(module)
    if kind in LEAVES_AS_IS:
        return
    if isinstance(module, Writable):
        module.write(writer)
    elif isinstance(module, nn.Sequential) and kind is nn.Sequential:
        for layer in module:
            _write_module(writer, layer)
    elif kind in SIMPLE:
        writer.add(SIMPLE[kind])
    elif type(module) is nn.Linear and module.bias is not None:
        writer.add("Gemm", writer.weight(module.weight), writer.weight(module.bias), transB=1)
    elif type(module) is nn.GELU:
        writer.add("Gelu", approximate=module.approximate)
    elif type(module) is nn.ELU:
        writer.add("Elu", alpha=module.alpha)
    elif type(module) is nn.LeakyReLU:
        writer.add("LeakyRelu", alpha=module.negative_slope)
    elif type(module) is nn.SiLU:
        _write_silu(writer)
    elif type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        writer.add("Flatten", axis=1)
    else:
        _write_normalization(writer, module)


def _write_silu(writer: Writer) -> None:
    value = writer.last
    writer.add("Sigmoid")
    writer.add("Mul", value)


def _write_normalization(writer: Writer, module: nn.Module) -> None:
    if type(module) is nn.BatchNorm1d and module.affine and module.track_running_stats:
        tensors = (module.weight, module.bias, module.running_mean, module.running_var)
        writer.add("BatchNormalization", *(writer.weight(tensor) for tensor in tensors), epsilon=module.eps)
    elif type(module) is nn.LayerNorm and module.elementwise_affine and len(module.normalized_shape) == 1:
        writer.add(
            "LayerNormalization", writer.weight(module.weight), writer.weight(module.bias), axis=-1, epsilon=module.eps
        )
    else:
        raise Unwritable(type(module).__name__)


def _write_head(writer: Writer, task: str) -> None:
    if task == "multiclass":
        writer.add("Softmax", axis=1)
    elif task == "soft":
        writer.add("Sigmoid")
    elif task == "binary":
        raw = writer.last
        second = writer.add("Sigmoid")
        writer.last = raw
        writer.add("Neg")
        writer.add("Sigmoid")
        writer.add("Concat", second, axis=1)
