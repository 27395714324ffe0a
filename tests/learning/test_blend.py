"""Who counts how much in an ensemble, and one network that answers for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from app.learning.ensemble.blend import Blend, choose_weights
from app.learning.ensemble.members import answers
from app.learning.export import Answer, export

TASKS = {"binary": 1, "multiclass": 3, "regression": 1, "soft": 1}


def squares(truth: np.ndarray) -> object:
    return lambda answer: (answer[:, 0] - truth) ** 2


def noisy(num_rows: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A truth, two independent rough answers to it, and one that is far off."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=num_rows)
    rough = [(truth + generator.normal(size=num_rows) * 0.5)[:, None] for _ in range(2)]
    return truth, [*rough, (truth + 5.0)[:, None]]


def test_two_rough_answers_share_and_a_bad_one_is_not_heard() -> None:
    truth, said = noisy(20_000)
    weights = choose_weights(said, squares(truth))
    assert sum(weights) == pytest.approx(1.0)
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.06)
    assert weights[2] == 0.0


def test_of_few_rows_the_weights_are_drawn_to_equal_ones_but_not_for_who_is_clearly_worse() -> None:
    truth, said = noisy(30)
    lucky = said[0].copy()
    lucky[:] = 0.5 * lucky + 0.5 * truth[:, None]
    weights = choose_weights([lucky, said[1], said[2]], squares(truth))
    assert weights[2] == 0.0
    assert weights[0] == pytest.approx(0.5, abs=0.53)
    alike = choose_weights([said[0], said[0].copy(), said[2]], squares(truth))
    assert alike[1] > 0.4
    assert alike[2] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_a_blend_is_the_weighted_average_and_its_graph_equals_it(task: str) -> None:
    torch.manual_seed(0)
    networks = [nn.Linear(4, TASKS[task]) for _ in range(3)]
    x_BF = torch.randn(50, 4)
    blend = Blend(networks, [0.5, 0.3, 0.2], task, torch.tensor([-1.0, 1.0]))
    expected = sum(w * answers(n(x_BF), task) for w, n in zip([0.5, 0.3, 0.2], networks, strict=True))
    if task == "regression":
        expected = expected.clamp(-1.0, 1.0)
    with torch.inference_mode():
        assert torch.allclose(answers(blend(x_BF), task), expected, atol=1e-6)
    assert export(Answer(blend, task), x_BF)


def test_small_probabilities_survive_the_blend() -> None:
    sure = nn.Linear(1, 1)
    with torch.no_grad():
        sure.weight.fill_(1.0)
        sure.bias.zero_()
    blend = Blend([sure, sure], [0.5, 0.5], "binary", torch.zeros(2))
    with torch.inference_mode():
        assert blend(torch.tensor([[30.0], [-30.0]])).flatten().tolist() == pytest.approx([30.0, -30.0], rel=1e-3)
