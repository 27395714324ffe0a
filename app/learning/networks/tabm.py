"""The network of TabM: many feed-forward networks that share most of their weights, and answer together.

Shapes: x_BF inputs, M members, K outputs. Deterministic: a function of torch's global generator.
Source: Gorishniy, Kotelnikov and Babenko, ICLR 2025, arXiv 2410.24210, in their package tabm.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from tabm import EnsembleView, LinearEnsemble, make_tabm_backbone
from torch import Tensor, nn
from torch.nn import functional

from app.learning.graph import Writer
from app.learning.layout import Layout
from app.learning.networks.numbers import FlatInputs, Remaining
from app.learning.number_embeddings import width_of_number


class TabM(nn.Module):
    """Members in training, one answer otherwise: of shares the mean share, of values the mean value."""

    is_value: Tensor

    def __init__(self, layout: Layout, num_outputs: int, params: Any, dtype: torch.dtype) -> None:
        super().__init__()
        width = width_of_number(params)
        remaining = Remaining(layout.num_numbers, layout.num_inputs)
        self.inputs = FlatInputs(layout.num_numbers, params, width, remaining, dtype)
        # At first a member weighs all values of one column alike.
        chunks = [width] * layout.num_numbers + [1] * layout.num_flags + [block.num_inputs for block in layout.blocks]
        self.members = EnsembleView(k=params.num_members)
        self.backbone = make_tabm_backbone(
            d_in=sum(chunks), n_blocks=params.num_blocks, d_block=params.width, dropout=params.dropout,
            k=params.num_members, start_scaling_init="random-signs" if width == 1 else "normal",
            start_scaling_init_chunks=chunks,
        ).to(dtype)  # fmt: skip
        self.output = LinearEnsemble(params.width, num_outputs, k=params.num_members, dtype=dtype)
        # What a single output means is not known until `fit`.
        self.register_buffer("is_value", torch.tensor(False))

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Remember whether outputs are values, and let the embeddings see the training rows."""
        self.is_value.fill_(task == "regression")
        self.inputs.fit(x_BF, y_B, task)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the raw outputs of all members (rows, M, K) in training, else their common one (rows, K)."""
        out_BMK: Tensor = self.output(self.backbone(self.members(self.inputs(x_BF))))
        return out_BMK if self.training else self._together(out_BMK)

    def _together(self, out_BMK: Tensor) -> Tensor:
        """Return the raw output whose share is the mean of the members' shares, or whose value that of their values."""
        num_members, num_outputs = out_BMK.shape[1:]
        if num_outputs > 1:
            return torch.logsumexp(functional.log_softmax(out_BMK, dim=2), dim=1) - math.log(num_members)
        yes_BK = torch.logsumexp(functional.logsigmoid(out_BMK), dim=1)
        no_BK = torch.logsumexp(functional.logsigmoid(-out_BMK), dim=1)
        return torch.where(self.is_value, out_BMK.mean(dim=1), yes_BK - no_BK)

    def write(self, writer: Writer) -> None:
        """Add the common answer to a graph."""
        writer.module(self.inputs, writer.last)
        writer.add("Unsqueeze", writer.weight(torch.tensor([1])))
        for linear, activation, *_ in self.backbone.blocks:
            writer.add("Mul", writer.weight(linear.r))
            writer.add("MatMul", writer.weight(linear.weight.T))
            writer.add("Mul", writer.weight(linear.s))
            writer.add("Add", writer.weight(linear.bias))
            writer.module(activation, writer.last)
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.output.weight))
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("Add", writer.weight(self.output.bias))
        self._write_together(writer)

    def _write_together(self, writer: Writer) -> None:
        out, members = writer.last, writer.weight(torch.tensor([1]))
        if self.output.weight.shape[2] > 1:
            writer.add("LogSoftmax", axis=2)
            writer.add("ReduceLogSumExp", members, keepdims=0)
            writer.add("Sub", writer.weight(torch.tensor(math.log(self.output.weight.shape[0]))))
        elif self.is_value:
            writer.add("ReduceMean", members, keepdims=0)
        else:
            no = _write_log_mean(writer, out, members)
            writer.last = out
            yes = _write_log_mean(writer, writer.add("Neg"), members)
            writer.last = yes
            writer.add("Sub", no)


def _write_log_mean(writer: Writer, minus_logit: str, members: str) -> str:
    """Write log(sum sigmoid(x)) over the members, given -x: log sigmoid(x) is -softplus(-x)."""
    writer.last = minus_logit
    writer.add("Softplus")
    writer.add("Neg")
    return writer.add("ReduceLogSumExp", members, keepdims=0)
