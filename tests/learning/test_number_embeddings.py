"""Embeddings of numbers: what bins hold, where they lie, and that what is ours computes what the packages compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rtdl_num_embeddings import PeriodicEmbeddings, PiecewiseLinearEmbeddings, compute_bins
from torch import nn

from app.learning.export import Answer, check_graph
from app.learning.graph import write_graph
from app.learning.networks.edges import quantile_edges, target_edges
from app.learning.networks.numbers import Periodic, PiecewiseLinear
from app.learning.networks.piecewise import Bins


def fitted_bins(x_BN: torch.Tensor, num_bins: int, cut: str = "quantile", y_B: torch.Tensor | None = None) -> Bins:
    bins = Bins(x_BN.shape[1], num_bins, x_BN.dtype, cut=cut)
    bins.fit(x_BN, torch.zeros(len(x_BN)) if y_B is None else y_B, "regression")
    return bins


def test_a_number_has_come_through_the_bins_below_it_and_a_share_of_its_own() -> None:
    x_BN = torch.arange(9.0)[:, None]
    bins = fitted_bins(x_BN, 4)
    found = bins(torch.tensor([[-5.0], [0.0], [3.0], [8.0], [99.0]]))[:, 0]
    assert found.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_a_number_with_few_values_has_few_bins_and_a_constant_one_none() -> None:
    x_BN = torch.tensor([[0.0, 7.0]] * 5 + [[1.0, 7.0]] * 4)
    shares_BNQ = fitted_bins(x_BN, 6)(x_BN + 0.25)
    assert shares_BNQ[0, 0].tolist() == [0.25, 0, 0, 0, 0, 0]
    assert not shares_BNQ[:, 1].any()


def test_edges_that_the_precision_of_the_network_cannot_tell_apart_make_no_bin() -> None:
    x_BN = torch.tensor([[0.0], [1e-41], [2e-41], [1.0]])
    bins = fitted_bins(x_BN, 3)
    assert torch.isfinite(bins(x_BN)).all()
    assert torch.isfinite(bins.rise_NQ).all()


def test_bins_lie_at_the_quantiles_of_the_package() -> None:
    x_BN = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(500, 3)))
    x_BN[:, 2] = x_BN[:, 2].round()
    for x_B, expected in zip(x_BN.T, compute_bins(x_BN, 10), strict=True):
        assert quantile_edges(x_B.numpy(), 10) == pytest.approx(expected.numpy())


def test_bins_that_tell_the_target_lie_where_it_changes() -> None:
    x_B = np.random.default_rng(1).uniform(0, 10, 400)
    y_B = np.where(x_B < 2, 0.0, np.where(x_B < 7, 3.0, 1.0))
    edges = target_edges(x_B, y_B[:, None], 8)
    assert edges == pytest.approx([x_B.min(), 2.0, 7.0, x_B.max()], abs=0.1)
    assert len(target_edges(x_B, y_B[:, None], 2)) == 3
    bins = fitted_bins(torch.from_numpy(x_B)[:, None], 8, "target", torch.from_numpy(y_B))
    assert (bins.rise_NQ > 0).sum() == 3


def test_a_target_that_has_nothing_to_do_with_a_number_of_few_rows_makes_one_bin() -> None:
    assert len(target_edges(np.arange(12.0), np.ones((12, 1)), 8)) == 2
    assert len(target_edges(np.zeros(40), np.arange(40.0)[:, None], 8)) == 1


def test_within_the_training_rows_piecewise_linear_is_what_the_package_computes() -> None:
    torch.manual_seed(0)
    x_BN = torch.randn(300, 4)
    ours = PiecewiseLinear(4, 7, "quantile", 5, torch.float32)
    ours.fit(x_BN, torch.zeros(300), "regression")
    theirs = PiecewiseLinearEmbeddings(compute_bins(x_BN, 7), 5, activation=False, version="B")
    with torch.no_grad():
        ours.weight.normal_()
        for to, source in (("linear0.weight", "scale"), ("linear0.bias", "bias"), ("linear.weight", "weight")):
            theirs.get_parameter(to).copy_(ours.get_parameter(source))
    assert torch.allclose(ours(x_BN), theirs(x_BN), atol=1e-5)


def test_periodic_is_the_package_itself() -> None:
    torch.manual_seed(1)
    ours = Periodic(3, 8, 0.5, 4, torch.float32)
    theirs = PeriodicEmbeddings(3, 4, n_frequencies=8, lite=False)
    theirs.load_state_dict(ours.embeddings.state_dict())
    x_BN = torch.randn(20, 3)
    assert torch.equal(ours(x_BN), theirs(x_BN))


@pytest.mark.parametrize("kind", ["piecewise_linear", "periodic"])
def test_an_embedding_with_any_weights_is_written_as_torch_computes_it(kind: str) -> None:
    torch.manual_seed(2)
    x_BN = torch.randn(60, 3)
    if kind == "periodic":
        embedding: nn.Module = Periodic(3, 6, 1.0, 4, torch.float32)
    else:
        embedding = PiecewiseLinear(3, 6, "quantile", 4, torch.float32)
        embedding.fit(x_BN, torch.zeros(60), "regression")
        nn.init.normal_(embedding.weight)
    network = nn.Sequential(embedding, nn.Flatten(), nn.Linear(12, 3))
    graph = write_graph(network, "multiclass", 3)
    assert graph is not None
    check_graph(graph, Answer(network, "multiclass"), 3 * x_BN)


def test_bins_travel_with_the_weights() -> None:
    x_BN = torch.randn(50, 2)
    first, second = (PiecewiseLinear(2, 5, "quantile", 3, torch.float32) for _ in range(2))
    first.fit(x_BN, torch.zeros(50), "regression")
    nn.init.normal_(first.weight)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x_BN), second(x_BN))
