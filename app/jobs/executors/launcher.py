"""The process that training children are forked from: torch is imported once, so a job's first step comes at once.

    worker --(start, with three descriptors)--> launcher --fork--> child
    worker <--(started pid / exited pid status)-- launcher

It talks to its worker in JSON over a socket whose messages keep their borders, opens no database, and starts no
thread, because a fork copies only the thread that forks. It ends with its worker, and its children end with it.
"""

from __future__ import annotations

import array
import gc
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from app.jobs.executors import child

MAX_MESSAGE_BYTES = 65536
NUM_DESCRIPTORS = 3


def main() -> None:
    """Serve the worker on the other end of the descriptor named on the command line, until it goes away."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    child.preload()
    if num_threads() != 1:
        raise RuntimeError("the launcher has threads; forking it would break its children")
    # Objects that exist now are shared with the children: keep the collector from touching their pages.
    gc.collect()
    gc.freeze()
    serve(connection)


def serve(connection: socket.socket) -> None:
    """Fork a child per start message, report those that end, until the worker hangs up."""
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    children: set[int] = set()
    send(connection, {"ready": os.getpid()})
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == wake_read:
                    os.read(wake_read, 4096)
                    report_ended(connection, children)
                elif not start_one(connection, children, (wake_read, wake_write)):
                    kill_all(children)
                    return


def start_one(connection: socket.socket, children: set[int], private: tuple[int, ...]) -> bool:
    """Read one start message and fork; False when the worker has gone."""
    content, ancillary, _, _ = connection.recvmsg(MAX_MESSAGE_BYTES, socket.CMSG_SPACE(NUM_DESCRIPTORS * 4))
    if not content:
        return False
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data)
    message: dict[str, Any] = json.loads(content)
    launcher_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (connection.fileno(), *private):
            os.close(fd)
        folder = Path(message["folder"])
        child.main(folder, control_fd=fds[0], report_fd=fds[1], log_fd=fds[2], launcher_pid=launcher_pid)
    children.add(pid)
    for fd in fds:
        os.close(fd)
    send(connection, {"started": pid, "token": message["token"]})
    return True


def report_ended(connection: socket.socket, children: set[int]) -> None:
    """Tell the worker of each child that ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.discard(pid)
        send(connection, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def kill_all(children: set[int]) -> None:
    """End every child and what it started."""
    for pid in children:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)


def num_threads() -> int:
    """Threads of this process, native ones too, as the kernel counts them."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """One message; a worker that has gone is noticed by the next read."""
    try:
        connection.send(json.dumps(message).encode())
    except OSError as error:
        sys.stderr.write(f"the worker is gone: {error}\n")


if __name__ == "__main__":
    main()
