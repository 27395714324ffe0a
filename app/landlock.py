"""Limit a process to some files and no TCP: Linux Landlock through its three raw system calls.

Source: landlock(7) and Documentation/userspace-api/landlock.rst of Linux 6.18 (the numbers are the same on
every architecture).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHARACTER_DEVICE, MAKE_SOCKET, MAKE_BLOCK_DEVICE = 1 << 6, 1 << 9, 1 << 11
TRUNCATE, DEVICE_IOCTL = 1 << 14, 1 << 15
# Number of file access rights the kernel knows, by interface version.
NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_IOCTL
NOT_WRITING = EXECUTE | MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE | MAKE_SOCKET

TCP_BIND_AND_CONNECT = 0b11
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def version() -> int:
    """The kernel's Landlock interface version; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _syscall(CREATE_RULESET, None, 0, ASK_VERSION))


def restrict(read: Sequence[Path], write: Sequence[Path], run: Sequence[Path] = ()) -> None:
    """Confine the calling thread, and every thread and process it starts later, to these paths.

    Paths that do not exist grant nothing. Reading covers everything below a folder; writing includes
    reading, but neither running programs nor making devices or sockets; running includes reading. TCP is refused
    from version 4 on, signals to processes outside from version 6 on. Raises OSError when the kernel refuses.
    """
    rights = (1 << NUM_RIGHTS[min(version(), max(NUM_RIGHTS))]) - 1
    ruleset = _create_ruleset(rights)
    try:
        for path in read:
            _allow(ruleset, path, rights & (READ_FILE | READ_FOLDER))
        for path in write:
            _allow(ruleset, path, rights & ~NOT_WRITING)
        for path in run:
            _allow(ruleset, path, rights & (READ_FILE | READ_FOLDER | EXECUTE))
        _check(_syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _create_ruleset(rights: int) -> int:
    abi = version()
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", TCP_BIND_AND_CONNECT)
    if abi >= 6:
        attributes += struct.pack("=Q", ABSTRACT_SOCKETS_AND_SIGNALS)
    return _check(_syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        _check(_syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.syscall(ctypes.c_long(number), *arguments))


def _check(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
