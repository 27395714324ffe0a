"""The blocks of FT-Transformer as nodes of a graph.

Shapes: tokens (rows, T, D); heads divide D. Of the last block only the answer's token is needed, the first one.
Source: rtdl_revisiting_models, whose module FTTransformerBackbone this computes; the package has no types, hence Any.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from app.learning.graph import Writer


def write_blocks(writer: Writer, blocks: Any) -> None:
    """Turn the last value, tokens, into raw outputs (rows, K)."""
    tokens = writer.last
    num_blocks = len(blocks.blocks)
    for number, block in enumerate(blocks.blocks, start=1):
        seen = writer.module(block["attention_normalization"], tokens) if "attention_normalization" in block else tokens
        if number == num_blocks:
            tokens, asking = (writer.columns(value, (0,)) for value in (tokens, seen))
        else:
            asking = seen
        _write_attention(writer, block["attention"], asking, seen)
        tokens = writer.add("Add", tokens)
        writer.module(block["ffn_normalization"], tokens)
        _write_layers(writer, block["ffn"])
        tokens = writer.add("Add", tokens)
    writer.module(blocks.output, writer.columns(tokens, (0,), squeeze=True))


def _write_linear(writer: Writer, linear: nn.Linear, value: str) -> str:
    writer.last = value
    writer.add("MatMul", writer.weight(linear.weight.T))
    return writer.add("Add", writer.weight(linear.bias))


def _write_attention(writer: Writer, attention: Any, asking: str, seen: str) -> None:
    width, num_heads = attention.W_q.in_features, attention._n_heads
    # A 0 keeps the size: rows and tokens.
    apart = writer.weight(torch.tensor([0, 0, num_heads, width // num_heads]))
    heads = {}
    for name, value, order in (("W_q", asking, (0, 2, 1, 3)), ("W_k", seen, (0, 2, 3, 1)), ("W_v", seen, (0, 2, 1, 3))):
        _write_linear(writer, getattr(attention, name), value)
        writer.add("Reshape", apart)
        heads[name] = writer.add("Transpose", perm=list(order))
    writer.last = heads["W_q"]
    writer.add("MatMul", heads["W_k"])
    writer.add("Div", writer.weight(torch.tensor(math.sqrt(width // num_heads))))
    writer.add("Softmax", axis=-1)
    writer.add("MatMul", heads["W_v"])
    writer.add("Transpose", perm=[0, 2, 1, 3])
    writer.add("Reshape", writer.weight(torch.tensor([0, 0, width])))
    if attention.W_out is not None:
        _write_linear(writer, attention.W_out, writer.last)


def _write_layers(writer: Writer, layers: Any) -> None:
    """Write linear1, the gate a relu(b) of its halves, and linear2."""
    both = _write_linear(writer, layers.linear1, writer.last)
    half = layers.linear2.in_features
    gate = []
    for start in (0, half):
        writer.last = both
        bounds = (writer.weight(torch.tensor([bound])) for bound in (start, start + half, 2))
        gate.append(writer.add("Slice", *bounds))
    writer.add("Relu")
    writer.add("Mul", gate[0])
    _write_linear(writer, layers.linear2, writer.last)
