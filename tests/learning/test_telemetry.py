"""The runtime tells nobody that it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import onnx
from onnx import TensorProto, helper
from app.learning.runtime import open_session
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")])
model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
open_session(model.SerializeToString())
"""


def test_opening_a_session_leaves_no_trace_in_the_home_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
