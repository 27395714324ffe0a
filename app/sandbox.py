"""Confine a child process that handles bytes or code paths we do not trust: parsers and training runs.

Four layers, each useful without the others: no new privileges, resource limits, Landlock (files and TCP) and
seccomp (system calls). A child confines itself after its imports and before it starts threads or reads input.
A clean environment, closed descriptors and a process group of its own are the business of whoever starts it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from app import landlock, seccomp

Mode = Literal["required", "best-effort", "off"]

MAX_OPEN_FILES = 256
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

# What Python, torch and DuckDB still open after their imports: late imports, time zones, numbers of cores.
SYSTEM_READ = (
    "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache",
    "/dev/urandom", "/dev/zero", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system",
    "/sys/fs/cgroup",
)  # fmt: skip
SYSTEM_WRITE = ("/dev/null",)
# What a C++ compiler consists of: the programs, how a program is loaded, what programs are made from.
COMPILER_RUN = (
    "/usr/bin/g++", "/usr/bin/as", "/usr/bin/ld", "/usr/lib/gcc", "/usr/libexec/gcc",
    "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
)  # fmt: skip
COMPILER_READ = ("/usr/include", sysconfig.get_path("include"))


class SandboxUnavailable(RuntimeError):
    """A layer that was required could not be applied; the message names it."""


def confine(
    *,
    read: Sequence[Path],
    write: Sequence[Path],
    memory_bytes: int,
    file_size_bytes: int,
    cpu_seconds: int | None = None,
    compiles: bool = False,
    mode: Mode,
) -> list[str]:
    """Give up, for good, what this process does not need; returns the layers applied.

    `read` and `write` are files or folders (with everything below); Python and its libraries stay readable.
    `memory_bytes` bounds private memory (RLIMIT_DATA), so allocations fail with MemoryError;
    `file_size_bytes` bounds each file written. `compiles` lets a C++ compiler run, as confined as this process, and no
    other program: where Landlock is missing it does nothing, because any program could run then. Landlock holds for
    the calling thread and those it starts, so it counts as missing while other threads run. Raises SandboxUnavailable
    in mode "required" when a layer is missing.
    """
    if mode == "off":
        return []
    applied: list[str] = []
    steps: dict[str, Callable[[], str]] = {
        "no_new_privs": _forbid_new_privileges,
        "rlimits": lambda: _limit_resources(memory_bytes, file_size_bytes, cpu_seconds),
        "landlock": lambda: _restrict_files(read, write, compiles),
        "seccomp": lambda: _filter_calls(compiles and any(layer.startswith("landlock") for layer in applied)),
    }
    for layer, apply in steps.items():
        try:
            applied.append(apply())
        except (OSError, SandboxUnavailable) as fault:
            if mode == "required":
                raise SandboxUnavailable(f"The sandbox layer '{layer}' is missing: {fault}.") from fault
    return applied


def available_layers() -> dict[str, str]:
    """Every layer with "available" and a detail, or "missing" and the reason; confines nothing."""
    abi = landlock.version()
    reasons = {
        "no_new_privs": None if sys.platform == "linux" else "not Linux",
        "rlimits": None,
        "landlock": None if abi else "the kernel has no Landlock (Linux 5.13 and later, when enabled)",
        "seccomp": seccomp.missing(),
    }
    details = {"landlock": f"available: version {abi}" + ("" if abi >= 4 else ", without TCP rules")}
    return {
        layer: f"missing: {reason}" if reason else details.get(layer, "available") for layer, reason in reasons.items()
    }


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; exits if that happened already.

    `parent_pid` is the pid the parent knew as its own, so a parent that died before this call is noticed.
    Does nothing but that check outside Linux.
    """
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def library_folders(*, hidden: Path) -> list[Path]:
    """Folders outside of Python's own that packages were installed into, such as one of `pip install --target`.

    Not all of sys.path: an entry without an installed package may hold anything. Nor one that holds `hidden`.
    """
    folders = [Path(entry) for entry in sys.path if entry and any(Path(entry).glob("*.dist-info"))]
    return [folder for folder in folders if not hidden.resolve().is_relative_to(folder.resolve())]


def _forbid_new_privileges() -> str:
    if sys.platform != "linux":
        raise SandboxUnavailable("not Linux")
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    return "no_new_privs"


def _limit_resources(memory_bytes: int, file_size_bytes: int, cpu_seconds: int | None) -> str:
    limits = {
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: file_size_bytes,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if cpu_seconds is not None:
        limits[resource.RLIMIT_CPU] = cpu_seconds
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
    return "rlimits"


def _restrict_files(read: Sequence[Path], write: Sequence[Path], compiles: bool) -> str:
    abi = landlock.version()
    if not abi:
        raise SandboxUnavailable("the kernel has none")
    if len(os.listdir("/proc/self/task")) > 1:
        raise SandboxUnavailable("other threads are already running")
    reading, running = (COMPILER_READ, COMPILER_RUN) if compiles else ((), ())
    landlock.restrict(
        [*read, *map(Path, SYSTEM_READ), *_python_folders(), *map(Path, reading)],
        [*write, *map(Path, SYSTEM_WRITE)],
        [*map(Path, running)],
    )
    return f"landlock:{abi}"


def _filter_calls(compiles: bool) -> str:
    reason = seccomp.missing()
    if reason:
        raise SandboxUnavailable(reason)
    seccomp.refuse_calls(but={"execve"} if compiles else ())
    return "seccomp"


def _python_folders() -> list[Path]:
    # Not sys.path: it starts with the folder a program was started from. See `library_folders` for the others.
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [Path(folder) for folder in sorted(libraries)] + [Path(__file__).parent]


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
