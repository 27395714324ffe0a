"""Resumable uploads on a real server: killed in the middle, cut connections, and a client that is not ours."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tusclient.client import TusClient

from tests.processes import Server, eventually

MIB = 1 << 20
TUS = {"tus-resumable": "1.0.0"}
PART = TUS | {"content-type": "application/offset+octet-stream"}


def table(num_bytes: int) -> bytes:
    """A CSV file of about this size."""
    line = b"".join(b"%07d,red,%d\n" % (number, number % 7) for number in range(10_000))
    return b"number,color,size\n" + line * (num_bytes // len(line) + 1)


def announce(server: Server, content: bytes) -> str:
    """Where an upload of these bytes is."""
    name = base64.b64encode(b"numbers.csv").decode()
    headers = TUS | {"upload-length": str(len(content)), "upload-metadata": f"filename {name}"}
    answer = server.http.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def offset(server: Server, path: str) -> int:
    """How many bytes are acknowledged."""
    return int(server.http.head(path, headers=TUS).raise_for_status().headers["upload-offset"])


def send(server: Server, path: str, content: bytes) -> Any:
    """Go on where the server is."""
    start = offset(server, path)
    return server.http.patch(path, content=content[start:], headers=PART | {"upload-offset": str(start)})


def dripping(content: bytes, sent: list[int]) -> Iterator[bytes]:
    """The bytes, slowly."""
    for start in range(0, len(content), MIB):
        yield content[start : start + MIB]
        sent.append(min(len(content), start + MIB))
        time.sleep(0.1)


def ready(server: Server, path: str, content: bytes) -> dict[str, Any]:
    """The data set that a whole upload became, once it was read."""
    dataset_id = server.http.get(path).json()["dataset_id"]
    dataset: dict[str, Any] = server.http.get(f"/v1/datasets/{dataset_id}", headers={"prefer": "wait=60"}).json()
    assert dataset["status"] == "ready", dataset
    assert dataset["sha256"] == hashlib.sha256(content).hexdigest()
    return dataset


def test_a_server_killed_in_the_middle_of_a_part_goes_on_from_what_it_acknowledged(
    serve: Callable[..., Server],
) -> None:
    server, content, sent = serve(), table(60 * MIB), list[int]()
    path = announce(server, content)
    assert server.process is not None

    def sending() -> None:
        with httpx.Client(base_url=server.url, headers=server.http.headers, timeout=30) as http:
            headers = PART | {"upload-offset": "0", "content-length": str(len(content))}
            with pytest.raises(httpx.TransportError):
                http.patch(path, content=dripping(content, sent), headers=headers)

    thread = threading.Thread(target=sending)
    thread.start()
    acknowledged = eventually(lambda: server.http.get(path).json()["offset_bytes"], seconds=20)
    eventually(lambda: sent and sent[-1] > acknowledged + 8 * MIB)
    server.kill()
    thread.join(30)
    server.end()
    server.start()
    after = offset(server, path)
    assert acknowledged <= after < len(content)
    kept = (server.folder / "uploads" / path.rpartition("/")[2]).read_bytes()
    assert kept[:after] == content[:after]
    assert send(server, path, content).status_code == 204
    ready(server, path, content)
    assert list((server.folder / "uploads").iterdir()) == []


def test_a_connection_that_breaks_keeps_what_arrived(steady: Server) -> None:
    content = table(3 * MIB)
    path = announce(steady, content)
    head = f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {steady.key}\r\n"
    head += f"Content-Length: {len(content)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in (PART | {"upload-offset": "0"}).items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", steady.port)) as line:
        line.sendall(head.encode() + content[: MIB + 12_345])
        time.sleep(0.3)
    eventually(lambda: offset(steady, path) == MIB + 12_345)
    assert send(steady, path, content).status_code == 204
    ready(steady, path, content)


def test_a_tus_client_of_others_uploads_and_goes_on(steady: Server, tmp_path: Path) -> None:
    content = table(3 * MIB)
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    client = TusClient(f"{steady.url}/v1/uploads", headers={"Authorization": f"Bearer {steady.key}"})
    metadata = {"filename": "table.csv", "filetype": "text/csv", "name": "of-others"}
    with file.open("rb") as stream:
        first = client.uploader(file_stream=stream, chunk_size=MIB, metadata=metadata, upload_checksum=True)
        first.upload_chunk()
        assert first.offset == MIB
        again = client.uploader(file_stream=stream, chunk_size=MIB, url=first.url, upload_checksum=True)
        assert again.offset == MIB
        again.upload()
    dataset = ready(steady, first.url.removeprefix(steady.url), content)
    assert (dataset["name"], dataset["format"]) == ("of-others", "csv")
