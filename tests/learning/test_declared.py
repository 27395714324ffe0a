"""The grammar of declared networks: what it refuses and where, what it stores, which parameters a job gets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.learning.declared.reading import digest, read
from app.learning.declared.spec import make_spec
from app.learning.errors import LearningError
from app.learning.plan import plan
from app.learning.spec import TrainingParams, describe
from tests.learning.declarations import DENSE, MAX_PARAMETERS, NETWORKS, declared_spec, stored

HUGE = {"type": "dense", "units": 65_536}
COLUMNS = [{"name": "x", "type": "real"}, {"name": "c", "type": "category", "num_distinct": 5}]
TARGET = {"name": "y", "type": "category", "num_distinct": 3}


def nested(depth: int) -> list[Any]:
    """Layers in layers."""
    inside: list[Any] = [DENSE]
    for _ in range(depth - 1):
        inside = [DENSE, {"type": "residual", "layers": inside}]
    return inside


def residual(*layers: dict[str, Any]) -> dict[str, Any]:
    """A block of these."""
    return {"type": "residual", "layers": list(layers)}


# What is asked for, the code, the pointer, and a word of the detail.
REFUSED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "units of 10^9": ({"layers": [DENSE, {"type": "dense", "units": 10**9}]}, "limits-exceeded", "1/units", "65536"),
    "two layers too large together": ({"layers": [HUGE, HUGE]}, "limits-exceeded", "1", "4,295,163,904"),
    "a layer too many": ({"layers": [DENSE] * 65}, "limits-exceeded", "", "64"),
    "too many with those inside": ({"layers": [*[DENSE] * 40, residual(*[DENSE] * 24)]}, "limits-exceeded",
                                   "40/layers/23", "64"),
    "too deep": ({"layers": nested(5)}, "limits-exceeded", "1/layers/1/layers/1/layers/1/layers/0", "4 deep"),
    "no units": ({"layers": [{"type": "dense"}]}, "invalid-training", "0/units", "required"),
    "text": ({"layers": [{"type": "dense", "units": "8"}]}, "invalid-training", "0/units", "integer"),
    "a fraction": ({"layers": [{"type": "dense", "units": 8.5}]}, "invalid-training", "0/units", "integer"),
    "none at all": ({"layers": [{"type": "dense", "units": 0}]}, "invalid-training", "0/units", "1"),
    "true": ({"layers": [{"type": "dense", "units": True}]}, "invalid-training", "0/units", "integer"),
    "a member too many": ({"layers": [{**DENSE, "bias": True}]}, "invalid-training", "0/bias", "no such"),
    "an unknown function": ({"layers": [{**DENSE, "activation": "swish"}]}, "invalid-training", "0/activation", "relu"),
    "an unknown layer": ({"layers": [{"type": "conv", "units": 3}]}, "invalid-training", "0", "conv"),
    "a layer without a type": ({"layers": [{"units": 3}]}, "invalid-training", "0", "type"),
    "a reference": ({"layers": [{"$ref": "#/layers/0"}]}, "invalid-training", "0", "type"),
    "a name for a layer": ({"layers": ["dense"]}, "invalid-training", "0", "object"),
    "a block of nothing": ({"layers": [DENSE, residual()]}, "invalid-training", "1/layers", "at least 1"),
    "a block on inputs": ({"layers": [residual(DENSE)]}, "invalid-training", "0", "before it"),
    "a block that widens": ({"layers": [DENSE, residual({"type": "dense", "units": 9})]}, "invalid-training", "1", "9"),
    "one inside of another": ({"layers": [DENSE, residual(residual({"type": "dense", "units": 9}), DENSE)]},
                              "invalid-training", "1/layers/0", "9"),
}  # fmt: skip
ELSEWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "no network": ({}, "/network"),
    "no layers": ({"network": {}}, "/network/layers"),
    "layers that are none": ({"network": {"layers": {}}}, "/network/layers"),
    "a head": ({"network": {"layers": [], "head": {}}}, "/network/head"),
    "embeddings that are none": ({"network": {"layers": [], "embeddings": None}}, "/network/embeddings"),
    "an unknown embedding": ({"network": {"layers": [], "embeddings": {"numbers": {"type": "x"}}}},
                             "/network/embeddings/numbers"),
    "a single bin": (
        {"network": {"layers": [], "embeddings": {"numbers": {"type": "piecewise_linear", "bins": 1}}}},
        "/network/embeddings/numbers/bins",
    ),
    "a parameter of another spec": ({"network": {"layers": []}, "params": {"hidden": [3]}}, "/params/hidden"),
    "a parameter out of range": ({"network": {"layers": []}, "params": {"epochs": 0}}, "/params/epochs"),
    "parameters against each other": ({"network": {"layers": []}, "params": {"nesterov": True}}, "/params/nesterov"),
    "no parameters": ({"network": {"layers": []}, "params": None}, "/params"),
    "batches without variance": (
        {"network": {"layers": [{"type": "batch_normalization"}]}, "params": {"batch_size": 2}},
        "/params/batch_size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_layer_is_refused_with_its_place(case: str) -> None:
    network, code, place, word = REFUSED[case]
    with pytest.raises(LearningError, match="(?i)" + word) as caught:
        read({"network": network}, MAX_PARAMETERS)
    assert caught.value.code == code
    assert caught.value.pointer == "/network/layers" + (f"/{place}" if place else "")


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_is_wrong_elsewhere_has_its_place_too(case: str) -> None:
    data, pointer = ELSEWHERE[case]
    with pytest.raises(LearningError) as caught:
        read(data, MAX_PARAMETERS)
    assert caught.value.pointer == pointer


def test_every_limit_can_be_reached() -> None:
    for layers in ([DENSE] * 64, [*[DENSE] * 40, residual(*[DENSE] * 23)], nested(4), [HUGE]):
        assert read({"network": {"layers": layers}}, MAX_PARAMETERS)["network"]["layers"]
    assert read({"network": {"layers": [HUGE]}}, 2 * 65_536)
    with pytest.raises(LearningError, match="131,072 parameters at least; 131,071"):
        read({"network": {"layers": [HUGE]}}, 2 * 65_536 - 1)


def test_all_problems_of_a_network_are_told_at_once() -> None:
    layers = [{"type": "dense", "units": 0}, {"type": "dropout", "rate": 2.0}, {"type": "activation"}]
    with pytest.raises(LearningError) as caught:
        read({"network": {"layers": layers}}, MAX_PARAMETERS)
    assert [each["pointer"] for each in caught.value.errors] == [
        "/network/layers/0/units", "/network/layers/1/rate", "/network/layers/2/function",
    ]  # fmt: skip


def test_what_is_stored_says_all_of_the_network_and_of_the_parameters_what_was_said() -> None:
    declared = read({"network": {"layers": [DENSE]}, "params": {"epochs": 7}}, MAX_PARAMETERS)
    assert declared["network"]["layers"] == [
        {"type": "dense", "units": 8, "activation": "identity", "normalization": "none", "dropout": 0.0}
    ]
    assert declared["params"] == {"epochs": 7}
    again = read(
        {"description": "other words", **{part: declared[part] for part in ("network", "params")}}, MAX_PARAMETERS
    )
    assert digest(again) == digest(declared)
    assert digest(again | {"params": {"epochs": 8}}) != digest(declared)


def test_a_declaration_that_was_changed_is_noticed() -> None:
    declared = stored(NETWORKS["residual"])
    with pytest.raises(LearningError, match="does not match its digest"):
        make_spec("mine", declared | {"params": {"epochs": 3}})


def test_a_job_gets_the_shared_parameters_with_the_declared_defaults() -> None:
    stopping = {"patience": 3, "min_delta": 0.0}
    spec = declared_spec(NETWORKS["linear"], optimizer="sgd", learning_rate=0.3, early_stopping=stopping)
    params = spec.params()
    assert (params.optimizer, params.learning_rate, params.momentum) == ("sgd", 0.3, 0.9)
    other = spec.params(learning_rate=0.2, early_stopping=None)
    assert (other.optimizer, other.learning_rate, other.early_stopping) == ("sgd", 0.2, None)
    described = describe(spec)
    assert {each["name"] for each in described["parameters"]} == set(TrainingParams.model_fields)
    defaults = {each["name"]: each["default"] for each in described["parameters"]}
    assert (defaults["learning_rate"], defaults["early_stopping"]) == (0.3, stopping)
    assert described["schema"]["properties"]["learning_rate"]["default"] == 0.3
    assert spec.params.model_validate(defaults) == params


def test_a_job_may_not_ask_for_batches_without_variance() -> None:
    with pytest.raises(ValidationError, match="at least 3 rows"):
        declared_spec(NETWORKS["residual"]).params(batch_size=2)
    declared_spec(NETWORKS["vectors"] | {"layers": [DENSE]}).params(batch_size=2)


def test_a_plan_carries_the_declaration_and_prefers_its_encoding() -> None:
    declared = stored(NETWORKS["binned"], version=3, epochs=7)
    resolved = plan([*COLUMNS, TARGET], "y", num_rows=90, spec="mine", declaration=declared)
    assert (resolved["spec"], resolved["spec_version"], resolved["declaration"]) == ("mine", 3, declared)
    assert resolved["params"]["epochs"] == 7
    assert resolved["inputs"][1]["policy"]["encoding"] == "index"
    plain = plan([*COLUMNS, TARGET], "y", num_rows=90, spec="mine", declaration=stored(NETWORKS["residual"]))
    assert plain["inputs"][1]["policy"]["encoding"] == "one_hot"


def test_a_network_that_the_data_make_too_large_points_at_the_spec() -> None:
    columns = [{"name": f"x{number}", "type": "real"} for number in range(100)]
    declared = stored({"layers": [{"type": "dense", "units": 1000}]})
    with pytest.raises(LearningError, match="104,003") as caught:
        plan([*columns, TARGET], "y", num_rows=90, spec="mine", declaration=declared, max_parameters=104_002)
    assert (caught.value.code, caught.value.pointer) == ("limits-exceeded", "/spec")
