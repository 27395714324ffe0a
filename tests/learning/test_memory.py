"""What a training takes of the memory: large tensors leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys


def test_large_tensors_that_come_and_go_leave_no_hole_in_memory() -> None:
    code = (
        "import torch\n"
        "from app.learning import memory, train\n"
        "train.preload()\n"
        "torch.ones(8 << 20, dtype=torch.uint8)\n"
        "before = memory.private_bytes()\n"
        "large = [torch.ones(8 << 20, dtype=torch.uint8) for _ in range(10)]\n"
        "kept = [torch.ones(50_000) for _ in range(10)]\n"
        "del large\n"
        "taken = memory.private_bytes() - before\n"
        "assert taken < 16 << 20, taken\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
