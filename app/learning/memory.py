"""How much memory this process has taken, as the kernel counts it, and how libraries say that they got none.

Bytes are those that RLIMIT_DATA bounds: private memory, shared pages of the launcher aside. Where there is no /proc,
nothing is known and all counts are 0.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

STATUS = Path("/proc/self/status")
KIB = 1024
# The parameter of mallopt, as malloc.h names it; blocks from this size on are few, and their pages soon written.
MMAP_THRESHOLD, LARGE_BYTES = -3, 4 << 20
# There is no common exception class: torch, Arrow, ONNX Runtime, Rust and the loader each have their own words.
WORDS = (
    *("can't allocate memory", "not enough memory", "std::bad_alloc", "bad allocation", "Failed to allocate memory"),
    "memory allocation of",
    # What a late import, a new thread or a mapped file says.
    *("Cannot allocate memory", "failed to map segment", "can't start new thread", "Unable to allocate"),
)
WANTED = re.compile(r"(?:tried to allocate|allocation of) (\d+) bytes")


def is_refusal(text: str) -> bool:
    """Whether a message or a log says that an allocation was refused."""
    return any(words in text for words in WORDS)


def wanted_bytes(text: str) -> int | None:
    """Return the size of the refused allocation, where the message tells it."""
    found = WANTED.search(text)
    return int(found[1]) if found else None


def private_bytes() -> int:
    """Return what counts against RLIMIT_DATA now."""
    return _read("VmData")


def keep_heap_whole() -> None:
    """Have the C library map large blocks one by one, whatever came before; does nothing where it cannot be told.

    glibc takes blocks of up to 32 MB from its heap once such a one was freed, and a heap from which tensors of all
    sizes come and go is soon in pieces: a training took up to four times the memory of its tensors.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)


class Meter:
    """Counts from its making on: in a forked child that is what the child takes beyond what it began with."""

    def __init__(self) -> None:
        self._private, self._resident = _read("VmData"), _read("VmRSS")

    def peak_bytes(self) -> int:
        """Return the most memory that was in use at once.

        The kernel keeps a peak of resident memory only; what is private and untouched shows in what there is now.
        """
        return max(_read("VmHWM") - self._resident, _read("VmData") - self._private, 0)


def _read(name: str) -> int:
    try:
        text = STATUS.read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * KIB if found else 0
