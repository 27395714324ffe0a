"""A bare connection to a server, for requests that no client library would send."""

from __future__ import annotations

import re
import socket

from tests.processes import Server


class Line:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self.rest = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send as much as the server takes."""
        try:
            self.socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            return

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        head, body = self._until(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        headers = dict(re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head.decode("latin-1").lower()))
        length = int(headers.get("content-length", 0))
        while len(body) < length:
            body += self._more()
        self.rest = body[length:]
        return status, headers, body[:length]

    def is_closed(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, end: bytes) -> tuple[bytes, bytes]:
        data = self.rest
        while end not in data:
            data += self._more()
        head, _, rest = data.partition(end)
        return head, rest

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        return data
