"""Contract of declared networks: they learn, repeat and resume bit by bit, are counted right, and exported as is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from app.learning import weights
from app.learning.export import Answer, check_graph, trace_graph
from app.learning.graph import write_graph
from app.learning.layout import Block, Layout
from app.learning.networks import declared
from tests.learning.datasets import penguins, write_dataset
from tests.learning.declarations import NETWORKS, declared_spec, stored
from tests.learning.test_resume import pause_before, resumed_from, run

SPLIT = {"method": "column", "column": "part"}
PARAMS: dict[str, Any] = {"learning_rate": 0.01, "batch_size": 32}
LAYOUTS = {
    "numbers": Layout(4),
    "flags": Layout(2, 1),
    "one_hot": Layout(1, 0, (Block("one_hot", 3), Block("ordinal", 4))),
    "slots": Layout(3, 1, (Block("index", 5), Block("one_hot", 3), Block("index", 2))),
    "only_slots": Layout(0, 0, (Block("index", 4),)),
    "levels": Layout(2, 0, (Block("levels", 6),)),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    types, columns = penguins()
    return write_dataset(tmp_path_factory.mktemp("data") / "penguins.parquet", types, columns)


def request(dataset: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """A training of a declared network."""
    declaration = stored(NETWORKS[name], **PARAMS)
    return {
        "dataset": dataset, "target": "species", "spec": "mine", "declaration": declaration, "split": SPLIT,
        "seed": 3, "checkpoint_seconds": 1e9, **more,
    }  # fmt: skip


def inputs(layout: Layout, num_rows: int) -> torch.Tensor:
    """Rows as such a layout has them, what no training row had included."""
    x_BF = 2 * torch.randn(num_rows, layout.num_inputs)
    for position, num_slots in layout.indexed.items():
        x_BF[:, position] = torch.randint(0, num_slots + 1, (num_rows,)).float()
    return x_BF


@pytest.mark.parametrize("name", NETWORKS)
def test_a_declared_network_beats_the_constant_answer(name: str, dataset: dict[str, Any], tmp_path: Path) -> None:
    metrics = run(request(dataset, name), tmp_path, lambda: None)[-1]["metrics"]
    assert metrics["test"]["log_loss"] < 0.2 * metrics["baseline"]["test"]["log_loss"]
    told = run(request(dataset, name, target="body_mass_g"), tmp_path, lambda: None)[-1]
    assert told["metrics"]["test"]["rmse"] < 0.5 * told["metrics"]["baseline"]["test"]["rmse"]
    sha256 = stored(NETWORKS[name], **PARAMS)["sha256"]
    assert told["manifest"]["spec"] == {"name": "mine", "version": 1, "sha256": sha256}


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_bits_also_when_it_was_interrupted(name: str, dataset: dict[str, Any], tmp_path: Path) -> None:
    asked = request(dataset, name, params={"epochs": 6})
    undisturbed = run(asked, tmp_path / "whole", lambda: None)[-1]["files"]
    other = run(asked | {"seed": 4}, tmp_path / "other", lambda: None)[-1]["files"]
    stopped = run(asked, tmp_path / "first", pause_before(11))
    assert stopped[-1] == {"type": "stopped", "reason": "paused"}
    resumed = run(asked | {"resume": resumed_from(stopped)}, tmp_path / "second", lambda: None)[-1]["files"]
    for file in ("weights", "graph"):
        assert resumed[file]["sha256"] == undisturbed[file]["sha256"] != other[file]["sha256"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_counted_as_the_network_has_them_and_its_graph_equals_torch(
    name: str, layout: str, tmp_path: Path
) -> None:
    spec, inside = declared_spec(NETWORKS[name]), LAYOUTS[layout]
    for task, num_outputs in (("multiclass", 3), ("binary", 1), ("regression", 1)):
        torch.manual_seed(1)
        network, restored = (spec.build(inside, num_outputs, spec.params(), torch.float32) for _ in range(2))
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert spec.num_parameters(inside, num_outputs, spec.params()) == counted
        network.train()
        if isinstance(network, declared.Embedded):
            network.fit(inputs(inside, 64), torch.zeros(64), task)
        network(inputs(inside, 64))
        weights.write(tmp_path / "w.safetensors", network.state_dict())
        restored.load_state_dict(weights.read(tmp_path / "w.safetensors"))
        x_BF = inputs(inside, 50)
        answer = Answer(restored, task)
        assert torch.equal(answer(x_BF), Answer(network, task)(x_BF))
        graph = write_graph(restored, task, inside.num_inputs)
        assert graph is not None, "it is not written node by node"
        check_graph(graph, answer, x_BF)


def test_the_traced_graph_agrees_with_the_written_one() -> None:
    spec = declared_spec(NETWORKS["periodic"])
    torch.manual_seed(2)
    answer = Answer(spec.build(LAYOUTS["flags"], 3, spec.params(), torch.float32), "multiclass")
    x_BF = inputs(LAYOUTS["flags"], 20)
    check_graph(trace_graph(answer, x_BF), answer, x_BF)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_in_float64_is_served_in_float32(name: str) -> None:
    spec = declared_spec(NETWORKS[name])
    network = spec.build(LAYOUTS["slots"], 2, spec.params(), torch.float64)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float64}
    network(inputs(LAYOUTS["slots"], 9).double())
    graph = write_graph(Answer(network, "multiclass").network, "multiclass", LAYOUTS["slots"].num_inputs)
    assert graph is not None
    check_graph(graph, Answer(network, "multiclass"), inputs(LAYOUTS["slots"], 9))


def test_a_count_that_is_wrong_is_noticed_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = declared_spec(NETWORKS["binned"])
    monkeypatch.setattr(declared, "num_parameters", lambda *_: 7)
    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", _only_without_memory)
    with pytest.raises(RuntimeError, match=r"has [\d,]+ parameters, and 7 were counted"):
        spec.build(LAYOUTS["slots"], 2, spec.params(), torch.float32)


def _only_without_memory(layer: torch.nn.Linear) -> None:
    assert layer.weight.is_meta


def test_counting_on_the_meta_device_draws_nothing() -> None:
    spec = declared_spec(NETWORKS["periodic"])
    torch.manual_seed(5)
    first = spec.build(LAYOUTS["flags"], 1, spec.params(), torch.float32)
    torch.manual_seed(5)
    second = declared._make(declared.grammar.Network.model_validate(NETWORKS["periodic"]), LAYOUTS["flags"], 1,
                            torch.float32)  # fmt: skip
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_bins_are_placed_by_the_training_rows(dataset: dict[str, Any], tmp_path: Path) -> None:
    told = run(request(dataset, "binned", params={"epochs": 1}), tmp_path, lambda: None)[-1]
    tensors = weights.read(Path(told["files"]["weights"]["path"]))
    low_NQ = tensors["numbers.bins.low_NQ"]
    assert (low_NQ.diff(dim=1) >= 0).all()
    assert len(low_NQ.unique()) > low_NQ.shape[1]
