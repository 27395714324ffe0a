"""Large files through the client: taken up again after the server was away, and by the command line."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.client import Client, ClientError
from app.client_upload import announce
from tests.processes import COMMAND, Server, eventually

CONTENT = b"number,color,size\n" + b"".join(b"%07d,red,%d\n" % (number, number % 7) for number in range(200_000))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is large to the client."""
    monkeypatch.setattr("app.client.WHOLE_BYTES", 1000)
    path = tmp_path / "numbers.csv"
    path.write_bytes(CONTENT)
    return path


def test_a_large_file_goes_on_when_the_server_is_back(serve: Callable[..., Server], file: Path) -> None:
    server, sent, announced = serve(), list[int](), list[str]()
    killed = threading.Event()

    def on_sent(num_bytes: int) -> None:
        sent.append(num_bytes)
        if num_bytes > len(CONTENT) // 2 and not killed.is_set():
            killed.set()
            server.kill()
            threading.Thread(target=lambda: (server.end(), server.start())).start()

    with Client(server.url, server.key) as client:
        dataset = client.upload(file, name=None, on_sent=on_sent, on_announced=announced.append)
        dataset = client.read_dataset(dataset, on_progress=lambda _: None)
    assert (dataset["status"], dataset["name"]) == ("ready", "numbers")
    assert dataset["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert killed.is_set()
    assert announced[0].startswith("upl_")
    eventually(lambda: server._is_ready())


def test_a_refusal_is_not_tried_again(steady: Server, file: Path) -> None:
    with Client(steady.url, steady.key) as client, pytest.raises(ClientError, match="There is no upload"):
        client.resume(file, "upl_0")


def test_the_command_line_goes_on_with_an_upload(steady: Server, file: Path) -> None:
    with Client(steady.url, steady.key) as client:
        upload_id = announce(client, file, "taken-up")
    command = [*COMMAND, "datasets", "upload", "--url", steady.url, "--key", steady.key, "--resume", upload_id]
    other = file.with_name("other.csv")
    other.write_bytes(b"a\n1\n")
    wrong = subprocess.run([*command, str(other)], capture_output=True, text=True, check=False)
    assert (wrong.returncode, "another file" in wrong.stderr) == (1, True)
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "taken-up" in done.stdout


def test_the_command_line_says_why_a_table_was_not_read(steady: Server, file: Path) -> None:
    file.write_bytes(b"a,b\n" + b"1,2,3\n" * 1000)
    with Client(steady.url, steady.key) as client:
        upload_id = announce(client, file, "ragged")
    command = [*COMMAND, "datasets", "upload", "--url", steady.url, "--key", steady.key, "--resume", upload_id]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: " in done.stderr
