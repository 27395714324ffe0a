"""What is special about tabm, ft-transformer and resnet: members that answer together, tokens, normalised batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from app.learning import specs, train
from app.learning.export import Answer, check_graph, export, trace_graph
from app.learning.layout import Block, Layout
from app.learning.losses import make_loss
from app.learning.prepared import prepare
from tests.learning.datasets import write_dataset
from tests.learning.test_specs import INDEXED, rows_for

LAYOUT = Layout(3, 1, (Block("one_hot", 4),))


def make_tabm(num_outputs: int, task: str, **params: Any) -> torch.nn.Module:
    spec = specs.get("tabm")
    torch.manual_seed(0)
    network = spec.build(LAYOUT, num_outputs, spec.params(num_members=5, width=16, **params), torch.float32)
    x_BF = rows_for(LAYOUT, 64)
    y_B = torch.arange(64).float() % max(2, num_outputs)
    network.fit(x_BF, y_B, task)
    return network


def answer_and_members(task: str, num_outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the served answer, and the raw outputs of the members."""
    network = make_tabm(num_outputs, task, dropout=0.0)
    x_BF = 3 * rows_for(LAYOUT, 40)
    answer_BK = Answer(network, task)(x_BF)
    network.train()
    return answer_BK, network(x_BF)


def test_the_answer_of_members_is_the_mean_of_their_probabilities() -> None:
    answer_BK, out_BMK = answer_and_members("multiclass", 3)
    assert out_BMK.shape == (40, 5, 3)
    assert torch.allclose(answer_BK, torch.softmax(out_BMK, dim=2).mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("task", ["binary", "soft"])
def test_the_answer_of_members_is_the_mean_of_their_shares(task: str) -> None:
    answer_BK, out_BMK = answer_and_members(task, 1)
    assert torch.allclose(answer_BK[:, -1], torch.sigmoid(out_BMK).mean(dim=1)[:, 0], atol=1e-6)


def test_the_answer_of_members_is_the_mean_of_their_values() -> None:
    answer_BK, out_BMK = answer_and_members("regression", 1)
    assert torch.allclose(answer_BK, out_BMK.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize(("task", "num_outputs"), [("multiclass", 3), ("binary", 1), ("soft", 1), ("regression", 1)])
def test_the_common_answer_is_written_as_torch_computes_it_also_where_members_are_sure(
    task: str, num_outputs: int
) -> None:
    network = make_tabm(num_outputs, task)
    x_BF = rows_for(LAYOUT, 40)
    for factor in (1.0, 30.0):
        with torch.no_grad():
            network.output.weight.mul_(factor)
        answer = Answer(network, task)
        check_graph(export(answer, x_BF), answer, x_BF)
    assert answer(x_BF).isfinite().all()


def test_the_written_and_the_traced_graph_of_a_transformer_agree() -> None:
    spec = specs.get("ft-transformer")
    torch.manual_seed(3)
    network = spec.build(INDEXED[0], 3, spec.params(num_heads=4), torch.float32)
    answer, x_BF = Answer(network, "multiclass"), rows_for(INDEXED[0], 30)
    check_graph(trace_graph(answer, x_BF), answer, x_BF)
    check_graph(export(answer, x_BF), answer, x_BF)


@pytest.mark.parametrize(("name", "task"), [("cross_entropy", "multiclass"), ("mse", "regression"), ("mse", "binary")])
def test_the_loss_of_members_is_the_mean_of_their_losses(name: str, task: str) -> None:
    torch.manual_seed(4)
    num_outputs = 3 if task == "multiclass" else 1
    out_BMK = torch.randn(20, 4, num_outputs)
    y_B = torch.randint(0, 3, (20,)) if task == "multiclass" else torch.rand(20)
    loss = make_loss(name, task, label_smoothing=0.1 if task == "multiclass" else 0.0)
    for w_B in (None, torch.rand(20)):
        single = torch.stack([loss(out_BMK[:, member], y_B, w_B) for member in range(4)])
        assert loss(out_BMK, y_B, w_B) == pytest.approx(single.mean().item(), abs=1e-6)


@pytest.mark.parametrize("name", ["tabm", "ft-transformer", "resnet"])
def test_a_training_shows_its_rows_to_the_network_and_a_resumed_one_goes_on_with_what_it_saw(
    name: str, tmp_path: Path
) -> None:
    columns = {"x": [float(row) for row in range(40)], "y": [float(row % 7) for row in range(40)]}
    dataset = write_dataset(tmp_path / "rows.parquet", {"x": "real", "y": "real"}, columns)
    params = {"number_embedding": "piecewise_linear", "num_bins": 4}
    request = {"dataset": dataset, "target": "y", "task": "regression", "spec": name, "params": params}
    prepared = prepare(request, lambda message: None)
    first, second = (train.make_training(prepared) for _ in range(2))
    tensors, state = first.checkpoint()
    bins = [key for key in tensors if key.endswith("rise_NQ")]
    assert len(bins) == 1
    assert (tensors[bins[0]] > 0).all()
    tensors[bins[0]] = tensors[bins[0]] * 2
    second.resume(tensors, state)
    assert torch.equal(second.network.state_dict()[bins[0].removeprefix("network.")], tensors[bins[0]])


def test_a_token_is_the_same_for_a_category_as_one_hot_and_as_a_number_of_a_slot() -> None:
    spec = specs.get("ft-transformer")
    numbers_BN = torch.randn(30, 2)
    answers = []
    for encoding in ("one_hot", "index"):
        layout = Layout(2, 0, (Block(encoding, 4), Block(encoding, 3)))
        torch.manual_seed(5)
        network = spec.build(layout, 2, spec.params(), torch.float32).eval()
        answers.append(network(torch.cat([numbers_BN, rows_for(layout, 30)[:, 2:]], dim=1)))
    assert torch.allclose(*answers, atol=1e-6)


def test_the_width_of_a_token_is_shared_by_the_heads() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        specs.get("ft-transformer").params(width=10, num_heads=4)


def test_single_rows_are_refused_where_batches_are_normalised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3 rows"):
        specs.get("resnet").params(batch_size=2)
    columns = {"x": [0.1 * row for row in range(9)], "y": [float(row % 5) for row in range(9)]}
    dataset = write_dataset(tmp_path / "few.parquet", {"x": "real", "y": "real"}, columns)
    messages: list[dict[str, Any]] = []
    params = {"batch_size": None, "accumulate": 8, "epochs": 2}
    split = {"validation": 0.0, "test": 0.0}
    request = {"dataset": dataset, "target": "y", "task": "regression", "spec": "resnet", "split": split}
    train.run(request | {"params": params}, folder=tmp_path, emit=messages.append, control=lambda: None)
    assert (messages[-1]["type"], messages[-1]["pointer"]) == ("error", "/params/batch_size")
    assert "single rows" in messages[-1]["message"]
