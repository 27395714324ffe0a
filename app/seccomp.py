"""Refuse dangerous system calls: a deny list assembled as a classic BPF program for Linux seccomp.

Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst and the syscall tables of Linux 6.18.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Collection

# Audit architecture, number of seccomp(2), of clone and of clone3.
MACHINES = {
    "x86_64": (0xC000003E, 317, 56, 435),
    "aarch64": (0xC00000B7, 277, 220, 435),
}

# name: (x86_64, aarch64); None where the machine has no such call.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # network
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # other programs and other processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # file systems and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # parts of the kernel that have been a way out of sandboxes
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    # the machine itself
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}

SET_MODE_FILTER = 1
GET_ACTION_AVAILABLE = 2
FLAG_ALL_THREADS = 1
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
DENY = 0x00050000 | errno.EPERM
NOT_IMPLEMENTED = 0x00050000 | errno.ENOSYS

LOAD_WORD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
OFFSET_NUMBER, OFFSET_ARCHITECTURE, OFFSET_FIRST_ARGUMENT = 0, 4, 16
X32_CALLS = 0x40000000
NEW_NAMESPACES = 0x7E020000


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def missing() -> str | None:
    """Why this machine cannot filter system calls, or None when it can."""
    if sys.platform != "linux":
        return "not Linux"
    if platform.machine() not in MACHINES:
        return f"no system call table for {platform.machine()}"
    action = ctypes.c_uint32(DENY & 0xFFFF0000)
    if _seccomp(GET_ACTION_AVAILABLE, 0, ctypes.byref(action)) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def refuse_calls(*, but: Collection[str] = ()) -> None:
    """Install the filter in every thread of this process, for good; it lets the calls named by `but` through.

    Raises OSError when the kernel refuses; needs no_new_privs.
    """
    code = assemble(platform.machine(), but=but)
    program = _Program(len(code) // 8, code)
    if _seccomp(SET_MODE_FILTER, FLAG_ALL_THREADS, ctypes.byref(program)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def assemble(machine: str, *, but: Collection[str] = ()) -> bytes:
    """The filter as machine-independent BPF bytes: eight per instruction, little endian."""
    architecture, _, clone, clone3 = MACHINES[machine]
    column = list(MACHINES).index(machine)
    numbers = [row[column] for name, row in DENIED.items() if name not in but]
    # "deny", "absent" and "allow" are the last three instructions; jumps only go forward.
    lines: list[tuple[int, int, int, str | int, str | int]] = [
        (LOAD_WORD, OFFSET_ARCHITECTURE, 0, 0, 0),
        (JUMP_EQUAL, architecture, 0, 1, 0),
        (RETURN, KILL_PROCESS, 0, 0, 0),
        (LOAD_WORD, OFFSET_NUMBER, 0, 0, 0),
        (JUMP_AT_LEAST, X32_CALLS, 0, "deny", 0),
        *((JUMP_EQUAL, number, 0, "deny", 0) for number in numbers if number is not None),
        # The flags of clone3 lie behind a pointer a filter cannot follow; glibc falls back to clone.
        (JUMP_EQUAL, clone3, 0, "absent", 0),
        (JUMP_EQUAL, clone, 0, 0, "allow"),
        (LOAD_WORD, OFFSET_FIRST_ARGUMENT, 0, 0, 0),
        (JUMP_ANY_BIT, NEW_NAMESPACES, 0, "deny", "allow"),
        (RETURN, DENY, 0, 0, 0),
        (RETURN, NOT_IMPLEMENTED, 0, 0, 0),
        (RETURN, ALLOW, 0, 0, 0),
    ]
    labels = {"deny": len(lines) - 3, "absent": len(lines) - 2, "allow": len(lines) - 1}
    code = b""
    for position, (operation, value, _, yes, no) in enumerate(lines):
        jumps = [labels[j] - position - 1 if isinstance(j, str) else j for j in (yes, no)]
        code += struct.pack("<HBBI", operation, *jumps, value)
    return code


def _seccomp(operation: int, flags: int, argument: object) -> int:
    number = MACHINES[platform.machine()][1]
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.syscall(ctypes.c_long(number), operation, flags, argument))
