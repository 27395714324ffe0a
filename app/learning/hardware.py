"""Where and how precisely a network computes: device, autocast, compilation.

`auto` is the GPU where there is one, and there bf16 where the GPU computes it; on a CPU it is float32. bf16 means
autocast: weights, their optimizer and the loss stay float32. Deterministic: on a CPU, for one number of threads; GPUs
and other CPUs round in other ways.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.learning.errors import LearningError
from app.learning.training_params import TrainingParams

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bf16": torch.float32}

Forward = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training computes with; `dtype` is that of weights and inputs."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and inputs."""
        return DTYPES[self.precision]

    def autocast(self) -> AbstractContextManager[object]:
        """Compute what gains from it in bf16, inside this context."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


CPU = Hardware(torch.device("cpu"), "float32")


def choose_hardware(params: TrainingParams) -> Hardware:
    """Return what `device` and `precision` stand for on this machine.

    Raises: LearningError pointing at /params/device when a GPU is asked for and there is none.
    """
    # Asking starts CUDA: only a child may do that, because it does not survive a fork.
    has_cuda = params.device != "cpu" and torch.cuda.is_available()
    if params.device == "cuda" and not has_cuda:
        message = "There is no CUDA device here, or torch was installed without CUDA: use device cpu or auto."
        raise LearningError(message, code="no-device", pointer="/params/device")
    precision = params.precision
    if precision == "auto":
        # Plain gradient descent is W - learning_rate * dJ/dW to the last bit that float32 has.
        rounds = has_cuda and params.optimizer != "gd" and torch.cuda.is_bf16_supported()
        precision = "bf16" if rounds else "float32"
    return Hardware(torch.device("cuda" if has_cuda else "cpu"), precision)


def compiled(forward: Forward, rehearse: Callable[[Forward], None], warn: Warn) -> Forward:
    """Return `forward` compiled by torch, or as it is, with a warning, where that does not work.

    `rehearse` calls a forward function and goes back through it, with rows of every size that will come. Compiling
    writes into the folder of temporary files and runs g++.
    """
    try:
        # torch warns of its own deprecations on the way.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _configure_compiler()
            fast: Forward = torch.compile(forward, dynamic=False)
            rehearse(fast)
    # Whatever goes wrong in a compiler, a linker or the code they made: the network is fine without them.
    except Exception as error:
        torch.compiler.reset()
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        warn(f"The network could not be compiled and is trained as it is: {type(error).__name__}: {reason[:300]}")
        return forward
    return fast


def _configure_compiler() -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "compiled")
    from torch._functorch import config as gradients
    from torch._inductor import config, cpu_vec_isa

    # One process, and no program but the compiler.
    config.compile_threads = 1
    config.cpp_cache_precompile_headers = False
    # What the CPU can is known from the CPU; to try out whether the compiler can, too, takes ten runs of it and of
    # Python. One that is too old fails, and then nothing is compiled; fp16, which few know, is not used here.
    config.cpp.vec_isa_ok = True
    setattr(cpu_vec_isa.VecISA, "check_build", lambda isa, code: "fp16" not in code)  # noqa: B010
    # These caches are pickles, and of no use to a folder that lives as long as one attempt.
    config.fx_graph_cache = False
    gradients.enable_autograd_cache = False
