"""What arrives on a child's descriptors, handed on piece by piece."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

MAX_LINE_BYTES = 64 << 20


class Lines:
    """Hands on complete JSON lines from a descriptor; calling it says whether more can come."""

    def __init__(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._hear = hear
        self._rest = bytearray()

    def __call__(self, fd: int) -> bool:
        chunk = os.read(fd, 1 << 16)
        self._rest += chunk
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            self._hear(json.loads(line))
        if len(self._rest) > MAX_LINE_BYTES:
            raise OSError("a child sent an endless line")
        return bool(chunk)


class Text:
    """Hands on text from a descriptor; calling it says whether more can come."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear

    def __call__(self, fd: int) -> bool:
        chunk = os.read(fd, 1 << 16)
        if chunk:
            self._hear(chunk.decode("utf-8", "replace"))
        return bool(chunk)
