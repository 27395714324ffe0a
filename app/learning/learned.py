"""What a training leaves behind, whatever trained: a network, and its answers to rows that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.learning.prepared import Rows

BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained network, in evaluation mode.

    Shapes: `network` maps x_BF to raw outputs out_BK; `held_out` are rows that its weights were not fitted on (the
    validation part; for an ensemble, rows that each member answered that had not seen them), and `held_out_BK` the raw
    outputs for them, float64. Both are empty where there are no such rows. `history` is told in the manifest.
    """

    network: nn.Module
    held_out: Rows
    held_out_BK: NDArray[np.float64]
    history: dict[str, Any]


def outputs(network: nn.Module, x_BF: Tensor) -> NDArray[np.float64]:
    """Return what a network in evaluation mode answers, (rows, outputs), in batches."""
    with torch.inference_mode():
        starts = range(0, len(x_BF), BATCH_ROWS)
        batches = [network(x_BF[start : start + BATCH_ROWS]).double().numpy() for start in starts]
    return np.concatenate(batches) if batches else np.zeros((0, 1))
