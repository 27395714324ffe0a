"""What the store asks of the operating system, watched, and made to fail or crash at any point."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Calls:
    """What the store asks of the operating system, in order; the n-th call may fail or crash."""

    NAMES = ("write", "fsync", "rename", "utime")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fail_at: int | None = None, error: Any = None) -> None:
        self.made: list[str] = []
        self._fail_at, self._error = fail_at, error
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            what = name
            if name == "fsync":
                what = "fsync folder" if os.path.isdir(f"/proc/self/fd/{arguments[0]}") else "fsync file"
            self.made.append(what)
            if len(self.made) == self._fail_at:
                raise self._error
            return real(*arguments, **options)

        return call


class Crash(BaseException):
    """The process dies here."""


def flip(path: Path, position: int) -> None:
    """Flip one bit, as a disk does."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
