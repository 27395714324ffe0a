"""What a package should know of its spec before others train it."""

from __future__ import annotations

import torch
from bent_spec.spec import BENT

from app.learning import specs
from app.learning.export import Answer, export
from app.learning.layout import Layout


def test_the_service_finds_the_spec() -> None:
    assert specs.installed()["bent"] is BENT


def test_the_parameters_are_counted_right() -> None:
    for num_inputs, num_outputs in ((1, 1), (7, 3)):
        network = BENT.build(Layout(num_inputs), num_outputs, BENT.params(), torch.float32)
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert BENT.num_parameters(Layout(num_inputs), num_outputs, BENT.params()) == counted


def test_the_network_bends_its_inputs_and_can_be_exported() -> None:
    torch.manual_seed(0)
    network = BENT.build(Layout(2), 1, BENT.params(steepness=2.0), torch.float32)
    bend, linear = network[0], network[1]
    x_BF = torch.randn(8, 2)
    torch.testing.assert_close(network(x_BF), linear(torch.tanh(2.0 * x_BF)))
    assert bend.steepness_F.requires_grad
    # Raises when the graph answers otherwise than torch.
    assert export(Answer(network, "binary"), x_BF)
