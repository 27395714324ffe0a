"""A trained network as an ONNX graph with its head inside, checked against torch on real rows.

Shapes: the graph maps "x" (rows, inputs) float32 to "y" (rows, outputs) float32: probabilities of all
classes, a share in [0, 1], or a value in the scale it was learned. Deterministic: yes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.learning.errors import LearningError
from app.learning.graph import write_graph
from app.learning.runtime import open_session

TOLERANCE = 1e-5
CHECKED_ROWS = 256


class Answer(nn.Module):
    """The network with its head: what the served model computes, always in float32.

    A network trained in float64 is rounded, in place: ONNX Runtime has float64 kernels for few operators. Raw outputs
    are divided by `temperature` before they become probabilities.
    """

    def __init__(self, network: nn.Module, task: str, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network.float().eval()
        self.task = task
        self.temperature = temperature

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return y_BK for x_BF."""
        out_BK: Tensor = self.network(x_BF)
        if self.temperature != 1.0:
            out_BK = out_BK / self.temperature
        if self.task == "multiclass":
            out_BK = torch.softmax(out_BK, dim=1)
        elif self.task == "binary":
            # Not 1 - p: that loses the small probabilities of the first class.
            out_BK = torch.cat([torch.sigmoid(-out_BK), torch.sigmoid(out_BK)], dim=1)
        elif self.task == "soft":
            out_BK = torch.sigmoid(out_BK)
        return out_BK


def export(answer: Answer, x_BF: Tensor) -> bytes:
    """Return the graph of an answer; `x_BF` are real rows on which it is compared with torch.

    Raises: LearningError when the graph's answers differ by more than 1e-5.
    """
    example_BF = x_BF[:CHECKED_ROWS]
    graph = write_graph(answer.network, answer.task, example_BF.shape[1], answer.temperature)
    if graph is None:
        graph = trace_graph(answer, example_BF)
    check_graph(graph, answer, example_BF)
    return graph


def trace_graph(answer: Answer, x_BF: Tensor) -> bytes:
    """Return the graph of any network through torch's own exporter: general, and a hundred times slower."""
    rows = torch.export.Dim("rows", min=1)
    # One row would be taken for a constant size.
    example_BF = x_BF if len(x_BF) > 1 else x_BF.repeat(2, 1)
    with _silence():
        program = torch.onnx.export(
            answer, (example_BF,), dynamo=True, dynamic_shapes=({0: rows},), input_names=["x"],
            output_names=["y"], external_data=False, verbose=False,
        )  # fmt: skip
    if program is None:
        raise LearningError("The network could not be exported.", code="export-failed")
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def check_graph(graph: bytes, answer: Answer, x_BF: Tensor) -> None:
    """Compare a graph with torch. Raises: LearningError when they differ by more than 1e-5."""
    with torch.inference_mode():
        expected_BK: NDArray[np.float32] = answer(x_BF).numpy()
    found_BK = open_session(graph).run(None, {"x": x_BF.numpy()})[0]
    if not np.allclose(found_BK, expected_BK, rtol=TOLERANCE, atol=TOLERANCE):
        worst = float(np.abs(found_BK - expected_BK).max())
        raise LearningError(f"The exported graph differs from the network by {worst:.3g}.", code="export-failed")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings about optional packages and its own deprecations out of the job's log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
