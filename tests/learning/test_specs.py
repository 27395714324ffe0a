"""Contract: what every registered spec must do; a new entry is covered without a line here."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.learning import specs, train, weights
from app.learning.errors import LearningError
from app.learning.export import Answer, check_graph, export, trace_graph
from app.learning.layout import Block, Layout
from app.learning.optimizers import make_optimizers
from app.learning.prepared import prepare
from app.learning.spec import describe
from tests.learning.datasets import penguins, write_dataset

# Ensembles have no network of their own; test_ensemble.py holds them to the same.
NAMES = sorted(name for name, spec in specs.SPECS.items() if spec.build is not None)
TASKS = [(name, task) for name in NAMES for task in specs.get(name).tasks]
SPLIT = {"method": "column", "column": "part"}
LAYOUTS = [
    Layout(1),
    Layout(9),
    Layout(4, 2, (Block("one_hot", 4), Block("ordinal", 5))),
    Layout(0, 0, (Block("one_hot", 3),)),
]
# For specs that read categories as numbers of slots: few of them, many of them, beside others, and nothing else.
INDEXED = [
    Layout(4, 1, (Block("index", 3), Block("one_hot", 2), Block("index", 12), Block("index", 40))),
    Layout(0, 0, (Block("index", 2), Block("index", 30))),
]
# Other shapes of a network than that of the defaults, to be counted.
SHAPES: dict[str, list[dict[str, Any]]] = {
    "dense": [
        {"hidden": hidden, "normalization": normalization}
        for hidden, normalization in itertools.product([[], [5], [7, 3, 2]], ["none", "batch", "layer"])
    ],
    "ft-transformer": [
        {"num_blocks": 1, "width": 6, "num_heads": heads, "hidden_width": 5, "number_embedding": embedding}
        for heads, embedding in ((1, "none"), (3, "piecewise_linear"), (2, "periodic"))
    ],
    "realmlp": [{"hidden": [], "number_width": 5}, {"hidden": [7, 3], "num_frequencies": 4, "max_one_hot": 2}],
    "resnet": [
        {"num_blocks": 3, "width": 6, "hidden_width": 5, "number_embedding": embedding, "number_width": 2}
        for embedding in ("none", "piecewise_linear", "periodic")
    ],
    "tabm": [
        {"num_blocks": 3, "width": 6, "num_members": 2, "number_embedding": embedding, "num_bins": 5}
        for embedding in ("none", "piecewise_linear", "periodic")
    ],
}


def layouts_of(name: str) -> list[Layout]:
    return LAYOUTS + (INDEXED if specs.get(name).takes_indices else [])


CASES = [(name, layout) for name in NAMES for layout in layouts_of(name)]


def rows_for(layout: Layout, num_rows: int) -> torch.Tensor:
    """Return random inputs, every slot of every category and the unknown one among them."""
    x_BF = torch.randn(num_rows, layout.num_inputs)
    x_BF[:, layout.num_numbers :] = torch.rand(num_rows, layout.num_inputs - layout.num_numbers).round()
    for position, block in layout.places:
        slot_B = torch.arange(num_rows) % (block.num_slots + 1)
        if block.encoding == "one_hot":
            x_BF[:, position : position + block.num_slots] = slot_B[:, None] == torch.arange(1, block.num_slots + 1)
        else:
            x_BF[:, position] = slot_B / (block.num_slots if block.encoding == "ordinal" else 1)
    return x_BF


@pytest.fixture(scope="session")
def penguin_dataset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    types, columns = penguins()
    return write_dataset(tmp_path_factory.mktemp("penguins") / "data.parquet", types, columns)


def trained(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    messages: list[dict[str, Any]] = []
    train.run(request, folder=folder, emit=messages.append, control=lambda: None)
    assert messages[-1]["type"] == "result", messages[-1]
    return messages[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_with_its_defaults_beats_the_constant_answer(
    name: str, penguin_dataset: dict[str, Any], tmp_path: Path
) -> None:
    request = {"dataset": penguin_dataset, "target": "species", "spec": name, "split": SPLIT}
    metrics = trained(request, tmp_path)["metrics"]
    assert metrics["test"]["log_loss"] < 0.2 * metrics["baseline"]["test"]["log_loss"]
    assert metrics["test"]["accuracy"] > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_with_its_defaults_beats_the_mean_in_regression(
    name: str, penguin_dataset: dict[str, Any], tmp_path: Path
) -> None:
    request = {"dataset": penguin_dataset, "target": "body_mass_g", "spec": name, "split": SPLIT}
    metrics = trained(request, tmp_path)["metrics"]
    assert metrics["test"]["rmse"] < 0.5 * metrics["baseline"]["test"]["rmse"]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    name: str, penguin_dataset: dict[str, Any], tmp_path: Path
) -> None:
    request = {"dataset": penguin_dataset, "target": "species", "spec": name, "params": {"epochs": 3}}
    digests = [
        trained(request | {"seed": seed}, tmp_path / str(run))["files"]["weights"]["sha256"]
        for run, seed in enumerate([7, 7, 8])
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_network_survives_its_file_and_its_graph_equals_torch(
    name: str, task: str, penguin_dataset: dict[str, Any], tmp_path: Path
) -> None:
    spec = specs.get(name)
    params = spec.params()
    layout = layouts_of(name)[-2]
    torch.manual_seed(1)
    num_outputs = 3 if task == "multiclass" else 1
    network, restored = (spec.build(layout, num_outputs, params, torch.float32) for _ in range(2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).uniform_(-0.1, 0.1))
    weights.write(tmp_path / "w.safetensors", network.state_dict())
    restored.load_state_dict(weights.read(tmp_path / "w.safetensors"))
    x_BF = rows_for(layout, 50)
    assert torch.equal(Answer(restored, task)(x_BF), Answer(network, task)(x_BF))
    assert export(Answer(network, task), x_BF)


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_a_graph_equals_torch_for_whatever_inputs_there_are(name: str, layout: Layout) -> None:
    spec = specs.get(name)
    torch.manual_seed(5)
    network = spec.build(layout, 3, spec.params(), torch.float32)
    assert export(Answer(network, "multiclass"), rows_for(layout, 50))


@pytest.mark.parametrize("name", sorted(specs.SPECS))
def test_a_spec_states_its_source_and_describes_every_parameter(name: str) -> None:
    spec = specs.get(name)
    described = describe(spec)
    assert spec.name == name
    assert len(spec.source) > 20
    assert spec.build is None or "Shapes:" in (spec.build.__doc__ or "")
    for parameter in described["parameters"]:
        assert parameter["help"], parameter["name"]
        assert parameter["level"] in ("basic", "advanced")
    assert spec.params.model_validate({p["name"]: p["default"] for p in described["parameters"]}) == spec.params()


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_the_counted_parameters_are_those_of_the_network(name: str, layout: Layout) -> None:
    spec = specs.get(name)
    for shape, num_outputs in itertools.product([{}, *SHAPES.get(name, [])], (1, 4)):
        params = spec.params(**shape)
        with torch.device("meta"):
            network = spec.build(layout, num_outputs, params, torch.float32)
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert spec.num_parameters(layout, num_outputs, params) == counted


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_every_parameter_learns_in_one_group_of_the_optimizer(name: str, layout: Layout) -> None:
    spec = specs.get(name)
    params = spec.params()
    network = spec.build(layout, 3, params, torch.float32)
    groups = [group for optimizer in make_optimizers(network, params) for group in optimizer.param_groups]
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, network.parameters()))


ACTIVATIONS = ["relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "identity"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_layer_of_the_dense_network_is_written_as_torch_computes_it(
    activation: str, normalization: str, dtype: torch.dtype
) -> None:
    spec = specs.get("dense")
    torch.manual_seed(2)
    params = spec.params(hidden=[6, 5], activation=activation, normalization=normalization, dropout=0.5)
    network = spec.build(Layout(3), 2, params, dtype)
    network.train()
    network(torch.randn(64, 3, dtype=dtype))
    answer = Answer(network, "multiclass")
    assert len(export(answer, 3 * torch.randn(50, 3))) < 10_000


def test_a_network_of_unknown_layers_is_traced_to_the_same_answers() -> None:
    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
            return x_BF + torch.nn.functional.softplus(self.layer(x_BF))

    torch.manual_seed(3)
    answer = Answer(Residual(), "multiclass")
    graph = export(answer, torch.randn(1, 3))
    check_graph(graph, answer, torch.randn(9, 3))


def test_a_graph_that_answers_otherwise_is_refused() -> None:
    torch.manual_seed(4)
    first, second = (Answer(torch.nn.Sequential(torch.nn.Linear(3, 1)), "soft") for _ in range(2))
    x_BF = torch.randn(5, 3)
    with pytest.raises(LearningError, match="differs"):
        check_graph(export(first, x_BF), second, x_BF)


def test_an_export_that_does_not_compute_what_torch_does_is_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    network[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    with pytest.raises(LearningError, match="differs"):
        export(Answer(network, "multiclass"), torch.randn(5, 3))


def test_the_written_and_the_traced_graph_agree(penguin_dataset: dict[str, Any]) -> None:
    spec = specs.get("dense")
    network = spec.build(Layout(4), 1, spec.params(), torch.float32)
    answer = Answer(network, "binary")
    x_BF = torch.randn(10, 4)
    check_graph(trace_graph(answer, x_BF), answer, x_BF)
    check_graph(export(answer, x_BF), answer, x_BF)


def test_an_unknown_spec_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LearningError, match="dense, ensemble") as caught:
        specs.get("os.system")
    assert caught.value.pointer == "/spec"


@pytest.mark.parametrize("seed", range(4))
def test_the_default_spec_tells_penguins_apart(seed: int, penguin_dataset: dict[str, Any], tmp_path: Path) -> None:
    request = {"dataset": penguin_dataset, "target": "species", "split": SPLIT, "seed": seed}
    assert trained(request, tmp_path)["metrics"]["test"]["accuracy"] >= 0.97


def test_the_classes_and_parts_of_the_penguins_are_as_stated(penguin_dataset: dict[str, Any]) -> None:
    events: list[dict[str, Any]] = []
    prepared = prepare({"dataset": penguin_dataset, "target": "species", "split": SPLIT}, events.append)
    assert prepared.head.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert {part: len(rows) for part, rows in prepared.rows.items()} == {"train": 220, "validation": 55, "test": 69}
    assert np.isfinite(prepared.rows["train"].x_BF).all()
