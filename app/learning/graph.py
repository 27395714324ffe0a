"""ONNX graphs of layer sequences, written node by node: ten milliseconds instead of a second of tracing.

Only modules whose meaning in ONNX is certain are known here; for anything else `write_graph` returns None and
the caller traces. Whatever comes out is compared with torch before it is served. Deterministic: yes.
Source: the operator definitions of ONNX opset 20.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 20
IR_VERSION = 10
LEAVES_AS_IS = (nn.Identity, nn.Dropout)
SIMPLE: dict[type[nn.Module], str] = {
    nn.ReLU: "Relu",
    nn.Sigmoid: "Sigmoid",
    nn.Tanh: "Tanh",
}


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

    def weight(self, tensor: torch.Tensor | None) -> str:
        """Store a tensor inside the graph and return its name."""
        array = np.zeros(0, np.float32) if tensor is None else tensor.detach().numpy()
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def write_graph(network: nn.Module, task: str, num_inputs: int) -> bytes | None:
    """Return the graph from "x" to "y" of a sequence of known layers, or None when there is an unknown one."""
    if type(network) is not nn.Sequential:
        return None
    writer = Writer()
    for module in network:
        if not _write_module(writer, module):
            return None
    _write_head(writer, task)
    writer.add("Identity")
    writer.nodes[-1].output[0] = "y"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", num_inputs])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", None])]
    body = helper.make_graph(writer.nodes, "answer", inputs, outputs, writer.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    graph: bytes = model.SerializeToString()
    return graph


def _write_module(writer: Writer, module: nn.Module) -> bool:
    # Exact types, because a subclass may compute something else.
    kind = type(module)
    if kind in LEAVES_AS_IS:
        return True
    if kind in SIMPLE:
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
    else:
        return _write_normalization(writer, module)
    return True


def _write_silu(writer: Writer) -> None:
    value = writer.last
    writer.add("Sigmoid")
    writer.add("Mul", value)


def _write_normalization(writer: Writer, module: nn.Module) -> bool:
    if type(module) is nn.BatchNorm1d and module.affine and module.track_running_stats:
        tensors = (module.weight, module.bias, module.running_mean, module.running_var)
        writer.add("BatchNormalization", *(writer.weight(tensor) for tensor in tensors), epsilon=module.eps)
        return True
    if type(module) is nn.LayerNorm and module.elementwise_affine and len(module.normalized_shape) == 1:
        writer.add(
            "LayerNormalization", writer.weight(module.weight), writer.weight(module.bias), axis=-1, epsilon=module.eps
        )
        return True
    return False


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
