"""A small client of the HTTP surface: requests, problem documents, streamed uploads, event streams that reconnect."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
UPLOAD_TIMEOUT_SECONDS = 900.0
# A larger file goes in a way that can be taken up again.
WHOLE_BYTES = 32 * 2**20
PROGRESS_SECONDS = 2
RECONNECT_SECONDS = 1.0
MAX_RECONNECTS = 30
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}


@dataclass
class ClientError(Exception):
    """The server refused a request; `errors` point at what is wrong with it."""

    status: int
    detail: str
    code: str = "unknown"
    errors: list[dict[str, str]] = field(default_factory=list)
    request_id: str | None = None

    def __str__(self) -> str:
        return self.detail


class Unreachable(Exception):
    """No server answers at the address, or it stopped answering."""


@dataclass(frozen=True)
class Event:
    """One server-sent event; live progress has no number, because it is not part of the record."""

    name: str
    data: dict[str, Any]
    number: int | None = None


class Client:
    """Calls one server with one key."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT_SECONDS,
            # A proxy that the environment names for the internet has no business with this machine.
            trust_env=httpx.URL(self.url).host not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """One thing. Raises: ClientError, Unreachable."""
        return self._call("GET", path, params=_given(query))

    def pages(self, path: str, *, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Up to `limit` items of a list, asked for page by page. Raises: ClientError, Unreachable."""
        items: list[dict[str, Any]] = []
        after = None
        while len(items) < limit:
            part = self.get(path, limit=min(limit - len(items), 1000), after=after, **query)
            items += part["data"]
            after = part["last_id"]
            if not part["has_more"]:
                break
        return items

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Create or act, once however often it is sent. Raises: ClientError, Unreachable."""
        return self._call("POST", path, json=body, headers={"idempotency-key": uuid.uuid4().hex})

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Change some members. Raises: ClientError, Unreachable."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """Delete. Raises: ClientError, Unreachable."""
        return self._call("DELETE", path)

    def upload(
        self,
        path: Path,
        *,
        name: str | None,
        on_sent: Callable[[int], object] = lambda _: None,
        on_announced: Callable[[str], object] = lambda _: None,
    ) -> Any:
        """Send a file as a data set, telling `on_sent` how many bytes went until now; large ones can be taken up again.

        `on_announced` gets the id under which (see `resume`). Raises: ClientError, Unreachable, OSError.
        """
        from app.client_upload import announce

        if path.stat().st_size <= WHOLE_BYTES:
            return self._upload_whole(path, name, on_sent)
        upload_id = announce(self, path, name)
        on_announced(upload_id)
        return self.resume(path, upload_id, on_sent=on_sent)

    def resume(self, path: Path, upload_id: str, *, on_sent: Callable[[int], object] = lambda _: None) -> Any:
        """Go on with an upload of a file. Raises: ClientError, Unreachable, OSError."""
        from app.client_upload import ResumableUpload

        return ResumableUpload(self, path, upload_id, on_sent).send()

    def read_dataset(self, dataset: Any, *, on_progress: Callable[[dict[str, Any]], object]) -> Any:
        """The data set once it was read, or never will be. Raises: ClientError, Unreachable."""
        while dataset["status"] == "processing":
            on_progress(dataset["progress"] or {})
            path = f"/v1/datasets/{dataset['id']}"
            dataset = self._call("GET", path, headers={"prefer": f"wait={PROGRESS_SECONDS}"})
        return dataset

    def _upload_whole(self, path: Path, name: str | None, on_sent: Callable[[int], object]) -> Any:
        with path.open("rb") as file:

            def pieces() -> Iterator[bytes]:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
                    on_sent(file.tell())

            return self._call(
                "POST",
                "/v1/datasets",
                params={"name": path.stem if name is None else name},
                content=pieces(),
                headers={
                    "content-type": MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"),
                    "content-length": str(path.stat().st_size),
                    "idempotency-key": uuid.uuid4().hex,
                },
                timeout=UPLOAD_TIMEOUT_SECONDS,
            )

    def events(self, thing_id: str, *, kind: str = "jobs", after: int = 0) -> Iterator[Event]:
        """The events of a job, or of a thing of another kind, until the one named `done`.

        None is lost and none comes twice, across restarts of the server.

        Raises: ClientError; Unreachable when the server stays away.
        """
        num_failures = 0
        while num_failures <= MAX_RECONNECTS:
            try:
                for event in self._stream(f"/v1/{kind}/{thing_id}/events", after):
                    num_failures = 0
                    after = event.number or after
                    yield event
                    if event.name == "done":
                        return
            except httpx.TransportError:
                pass  # the server may be restarting; the next round goes on after the last event
            num_failures += 1
            time.sleep(RECONNECT_SECONDS)
        raise Unreachable(f"{self.url} has stopped answering.")

    def _stream(self, path: str, after: int) -> Iterator[Event]:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        with self._http.stream("GET", path, headers=headers) as response:
            if response.is_error:
                response.read()
            _check(response)
            yield from parse_events(response.iter_bytes())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to any request. Raises: ClientError, Unreachable."""
        with self._reaching():
            response = self._http.request(method, path, **options)
        _check(response)
        return response

    def _call(self, method: str, path: str, **options: Any) -> Any:
        response = self.request(method, path, **options)
        return response.json() if response.content else None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise Unreachable(f"{self.url} does not answer in time.") from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(f"No server answers at {self.url} ({error}).") from None


def parse_events(pieces: Iterator[bytes]) -> Iterator[Event]:
    """Server-sent events from the bytes of a stream; only line feeds end lines, as JSON may hold other separators."""
    buffer = b""
    for piece in pieces:
        *messages, buffer = (buffer + piece).split(b"\n\n")
        for message in messages:
            fields = dict(line.split(": ", 1) for line in message.decode().split("\n") if ": " in line[1:])
            if "data" in fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Event(fields.get("event", "message"), json.loads(fields["data"]), number)


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        problem = response.json()
        raise ClientError(
            status=response.status_code,
            detail=problem["detail"],
            code=problem["error"]["code"],
            errors=problem["errors"],
            request_id=problem["request_id"],
        )
    except (ValueError, KeyError, TypeError):
        detail = f"The server answered {response.status_code} {response.reason_phrase}; is it a maas server?"
        raise ClientError(response.status_code, detail) from None


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
