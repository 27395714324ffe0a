"""The manifest of a model version: everything that is needed to serve it, and to say where it came from."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.learning.evaluate import Evaluated
from app.learning.parts import Parts
from app.learning.prepared import Prepared
from app.learning.spec import Spec

FORMAT = 1
LIBRARIES = ("torch", "numpy", "onnx", "onnxruntime", "safetensors", "pyarrow")


def machine() -> dict[str, str]:
    """Return what decides how the processor rounds: its model, and the instructions that torch uses of it."""
    return {
        "architecture": platform.machine(),
        "cpu": _cpu() or platform.processor() or "unknown",
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu() -> str | None:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None


def make_manifest(
    request: Mapping[str, Any],
    prepared: Prepared,
    network: nn.Module,
    history: Mapping[str, Any],
    evaluated: Evaluated,
    parts: Parts | None = None,
) -> dict[str, Any]:
    """Return the manifest as JSON without NaN or infinity; `parts` are the measured ones, if others were learned."""
    plan, dataset = prepared.plan, request["dataset"]
    resolved = plan.to_json()
    return {
        "format": FORMAT,
        "spec": _spec(plan.spec),
        "task": plan.task,
        "target": {"name": plan.target["name"], "type": plan.target["type"]},
        "classes": list(prepared.head.classes) or None,
        "params": resolved["params"],
        "inputs": prepared.inputs,
        "preparation": prepared.preparation.to_json(),
        "output": prepared.head.to_json(),
        "split": resolved["split"] | (parts or prepared.parts).to_json(),
        "seed": plan.seed,
        "threads": torch.get_num_threads(),
        "dataset": {"sha256": dataset.get("sha256"), "num_rows": dataset["num_rows"]},
        "training": dict(history),
        "metrics": evaluated.metrics,
        "calibration": evaluated.calibration,
        "conformal": evaluated.conformal,
        "num_inputs": prepared.preparation.layout.num_inputs,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "machine": machine(),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _spec(spec: Spec) -> dict[str, Any]:
    """Name and version; the digest, too, of what was declared and therefore lies in no package."""
    named = {"name": spec.name, "version": spec.version}
    return named if spec.declaration is None else named | {"sha256": spec.declaration["sha256"]}
