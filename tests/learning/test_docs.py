"""The documentation of specs says what the code does; run as a module, this file rewrites the reference page."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from app.learning import specs
from app.learning.export import Answer, export
from app.learning.layout import Layout
from app.learning.plan import plan
from app.learning.spec import describe
from app.learning.training_params import OPTIMIZER_DEFAULTS
from tests.learning.datasets import REPOSITORY
from tests.learning.test_seed_network import PARAMS, SEED

REFERENCE = REPOSITORY / "docs" / "reference" / "specs.md"
HOW_TO = REPOSITORY / "docs" / "how-to"
INTRODUCTION = """# Specs

The recipes that can be trained, as `GET /v1/specs` lists them. A parameter that is left out has the default shown; some
defaults depend on the optimizer, see below. *Basic* parameters come first in a form.
"""
OPTIMIZERS = """## Defaults that follow the optimizer

| optimizer | what changes unless it is given |
| --- | --- |
"""


def render() -> str:
    """Return the page that belongs to the code."""
    sections = [render_spec(specs.SPECS[name]) for name in sorted(specs.SPECS)]
    return "\n".join([INTRODUCTION, *sections, OPTIMIZERS + render_optimizers()])


def render_spec(spec: specs.Spec) -> str:
    described = describe(spec)
    lines = [
        f"## {spec.name}",
        "",
        f"{spec.summary} Version {spec.version}; tasks: {', '.join(spec.tasks)}.",
        "",
        f"Source: {spec.source}",
        "",
        "| parameter | type | default | range or choices | level | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ordered = sorted(described["parameters"], key=lambda parameter: parameter["level"] != "basic")
    return "\n".join([*lines, *map(render_parameter, ordered), ""])


def render_parameter(parameter: dict[str, Any]) -> str:
    kind = parameter["type"] + (" or null" if parameter["nullable"] else "")
    default = json.dumps(parameter["default"])
    cells = [f"`{parameter['name']}`", kind, f"`{default}`", render_range(parameter)]
    return "| " + " | ".join([*cells, parameter["level"], parameter["help"]]) + " |"


def render_range(parameter: dict[str, Any]) -> str:
    parts = []
    if parameter["minimum"] is not None:
        low, high = (f"{parameter[bound]:,}".removesuffix(".0") for bound in ("minimum", "maximum"))
        parts.append(f"{low} to {high}")
    if parameter["choices"]:
        parts.append(", ".join(f"`{choice}`" for choice in parameter["choices"]))
    most = f", at most {parameter['max_items']}" if parameter["max_items"] else ""
    return " or ".join(parts) + most


def render_optimizers() -> str:
    plain = specs.get("dense").params().model_dump(mode="json")
    lines = []
    for optimizer in OPTIMIZER_DEFAULTS:
        chosen = specs.get("dense").params(optimizer=optimizer).model_dump(mode="json")
        changed = {name: value for name, value in chosen.items() if value != plain[name] and name != "optimizer"}
        told = ", ".join(f"`{name}` {json.dumps(value)}" for name, value in changed.items())
        lines.append(f"| {optimizer} | {told or 'nothing'} |\n")
    return "".join(lines)


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)


def load(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_of_specs_is_the_one_the_code_gives() -> None:
    assert REFERENCE.read_text() == render(), "run: python -m tests.learning.test_docs"


def test_the_documented_seed_network_is_the_tested_one() -> None:
    body = json.loads(re.findall(r"<<'JSON'\n(.*?)\nJSON", code_blocks("seed-network.md", "sh")[-1], re.DOTALL)[0])
    assert (body["params"], body["seed"]) == (PARAMS, SEED)
    columns = [{"name": name, "type": "real", "num_distinct": 100, "min": 0.0, "max": 1.0} for name in ("x0", "y")]
    request = {name: body[name] for name in ("spec", "task", "params", "preparation", "split", "seed")}
    assert plan(columns, body["target"], num_rows=100, **request)["task"] == "soft"


def test_the_documented_spec_can_be_built_counted_and_exported(tmp_path: Path) -> None:
    path = tmp_path / "bent.py"
    path.write_text(code_blocks("add-a-spec.md", "python")[0])
    spec = load(path).BENT
    network = spec.build(Layout(4), 3, spec.params(), torch.float32)
    assert sum(parameter.numel() for parameter in network.parameters()) == spec.num_parameters(
        Layout(4), 3, spec.params()
    )
    assert export(Answer(network, "multiclass"), torch.randn(8, 4))


if __name__ == "__main__":
    REFERENCE.write_text(render())
