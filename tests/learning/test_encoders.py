"""What members of an ensemble see: statistics of the target that a row's own target has no part in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from app.learning.ensemble.encoders import fit_encoder, target_columns
from app.learning.ensemble.looks import MAX_STATISTICS, look_at
from app.learning.export import Answer, export
from app.learning.layout import Block, Layout

LAYOUT = Layout(2, 1, (Block("one_hot", 2), Block("index", 3), Block("index", 500), Block("levels", 12)))


def inputs(num_rows: int, seed: int = 0) -> torch.Tensor:
    """Rows of LAYOUT."""
    generator = np.random.default_rng(seed)
    columns = [
        generator.normal(size=(num_rows, 2)),
        generator.integers(0, 2, (num_rows, 3)),
        generator.integers(0, 4, (num_rows, 1)),
        generator.integers(0, 501, (num_rows, 1)),
        generator.integers(0, 13, (num_rows, 1)),
    ]
    return torch.from_numpy(np.column_stack(columns).astype(np.float32))


def test_few_categories_are_kept_and_many_become_statistics() -> None:
    looks = look_at(LAYOUT, 1, levels=False)
    assert looks.kept == (0, 1, 2, 3, 4, 5)
    assert looks.looked_up == ((6, 500),)
    assert looks.layout == Layout(4, 3, (Block("index", 3),))
    assert look_at(LAYOUT, 1, levels=True).looked_up == ((6, 500), (7, 12))


def test_the_number_of_statistics_is_bounded_and_columns_of_many_slots_go_first() -> None:
    layout = Layout(1, 0, tuple(Block("index", slots) for slots in range(100, 200)))
    looks = look_at(layout, 7, levels=True)
    assert len(looks.looked_up) == MAX_STATISTICS // 8
    assert {slots for _, slots in looks.looked_up} == set(range(188, 200))


def test_a_category_of_its_own_tells_nothing_of_its_target() -> None:
    x_BF = torch.arange(1, 201, dtype=torch.float32)[:, None]
    t_BC = np.random.default_rng(0).integers(0, 2, (200, 1)).astype(float)
    _, z_BG = fit_encoder(x_BF, t_BC, Layout(0, 0, (Block("index", 200),)), levels=False, seed=0)
    told = np.corrcoef(z_BG[:, 0].numpy(), t_BC[:, 0])[0, 1]
    assert told < 0.1, "a row's own target shines through"


def test_a_category_that_matters_is_told_by_its_rows() -> None:
    slot_B = np.random.default_rng(1).integers(1, 101, 5000)
    mean_S = np.random.default_rng(2).uniform(0.1, 0.9, 101)
    t_BC = (np.random.default_rng(3).random((5000, 1)) < mean_S[slot_B][:, None]).astype(float)
    x_BF = torch.from_numpy(slot_B.astype(np.float32))[:, None]
    encoder, z_BG = fit_encoder(x_BF, t_BC, Layout(0, 0, (Block("index", 100),)), levels=False, seed=0)
    logit_S = np.log(mean_S / (1 - mean_S))
    every = encoder(torch.arange(1, 101, dtype=torch.float32)[:, None])[:, 0].numpy()
    assert np.corrcoef(every, logit_S[1:])[0, 1] > 0.95
    assert np.corrcoef(z_BG[:, 0].numpy(), logit_S[slot_B])[0, 1] > 0.9
    unknown = encoder(torch.zeros(1, 1))[0, 0].item()
    assert every.min() < unknown < every.max()


def test_the_graph_of_an_encoder_equals_it() -> None:
    x_BF = inputs(300)
    encoder, _ = fit_encoder(x_BF, np.random.default_rng(0).random((300, 1)), LAYOUT, levels=True, seed=0)
    torch.manual_seed(0)
    network = nn.Sequential(encoder, nn.Linear(encoder.layout.num_inputs, 1))
    assert export(Answer(network, "regression"), x_BF)


@pytest.mark.parametrize("num_rows", [2, 50])
def test_the_same_seed_gives_the_same_statistics(num_rows: int) -> None:
    t_BC = np.random.default_rng(0).random((num_rows, 1))
    found = [fit_encoder(inputs(num_rows), t_BC, LAYOUT, levels=True, seed=seed)[1] for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert torch.isfinite(found[0]).all()
    assert num_rows == 2 or not torch.equal(found[0], found[2])


def test_targets_of_classes_are_columns_of_the_most_frequent() -> None:
    assert target_columns(np.array([0.0, 1.0, 1.0]), 2).tolist() == [[0.0], [1.0], [1.0]]
    assert target_columns(np.array([0.0, 2.0, 1.0]), 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    many = target_columns(np.repeat(np.arange(12.0), np.arange(12) + 1), 12)
    assert many.shape == (78, 8)
    assert many[:10].sum() == 0
