"""The client behind the command line: streams that are cut, servers that are not ours, servers that are gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from app.client import Client, ClientError, Event, Unreachable, parse_events
from tests.processes import free_port

STREAM = (
    'retry: 1000\n\nid: 7\nevent: status\ndata: {"message": "a\u2028b"}\n\n: still here\n\nevent: done\ndata: {}\n\n'
).encode()


def test_events_survive_any_cut_of_the_stream_and_odd_line_separators() -> None:
    expected = [Event("status", {"message": "a\u2028b"}, 7), Event("done", {})]
    for size in (1, 3, len(STREAM)):
        pieces = (STREAM[start : start + size] for start in range(0, len(STREAM), size))
        assert list(parse_events(pieces)) == expected


class BrokenServer(BaseHTTPRequestHandler):
    """Cuts the first stream of events in the middle, and answers what no server of ours would."""

    asked: ClassVar[list[str | None]] = []
    event = 'id: {0}\nevent: status\ndata: {{"message": "{0}"}}\n\n'

    def do_GET(self) -> None:
        if not self.path.endswith("/events"):
            self.send_error(502)
            return
        self.asked.append(self.headers["last-event-id"])
        is_first = len(self.asked) == 1
        body = self.event.format(1) if is_first else self.event.format(2) + "event: done\ndata: {}\n\n"
        self.send_response(200)
        self.send_header("content-length", str(len(body) + (100 if is_first else 0)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def broken_url() -> Iterator[str]:
    """A server that cuts connections."""
    BrokenServer.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), BrokenServer) as httpd:
        threading.Thread(target=httpd.serve_forever).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_cut_stream_goes_on_after_the_last_event(broken_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.RECONNECT_SECONDS", 0.01)
    with Client(broken_url) as client:
        names = [(event.name, event.number) for event in client.events("job_1")]
    assert names == [("status", 1), ("status", 2), ("done", None)]
    assert BrokenServer.asked == ["0", "1"]


def test_an_answer_of_another_server_is_a_client_error(broken_url: str) -> None:
    with Client(broken_url) as client, pytest.raises(ClientError, match="502"):
        client.get("/v1/specs")


def test_a_server_that_stays_away_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.RECONNECT_SECONDS", 0.0)
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        list(client.events("job_1"))
