"""`maas serve` as processes: where it may be started, how many there are, what happens when one dies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.jobs.runs import submit, upload, wait
from tests.processes import COMMAND, Server, command_of, eventually, kill


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that has not been started."""
    return Server(tmp_path / "data", {"MAAS_WORKERS": "2"})


def test_a_folder_with_an_app_of_its_own_is_no_trap(server: Server, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise RuntimeError('this is the wrong app')")
    server.start(working_folder=tmp_path)
    try:
        job_id = submit(server, upload(server, num_rows=60), params={"epochs": 3})
        assert wait(server, job_id)["status"] == "succeeded", server.story(job_id)
    finally:
        server.end()


def test_a_killed_api_process_is_replaced_and_a_second_server_is_refused(server: Server) -> None:
    server.start()
    try:
        first = [process for process in server.processes() if "--listener" in command_of(process)]
        assert len(first) == 2
        kill(first[0])
        gone = {process.pid for process in first[:1]}

        def replaced() -> bool:
            now = [process for process in server.processes() if "--listener" in command_of(process)]
            return len(now) == 2 and not gone & {process.pid for process in now}

        eventually(replaced, seconds=30)
        assert all(server.http.get("/v1/projects").status_code == 200 for _ in range(20))
        arguments = [*COMMAND, "serve", "--port", "0", "--data-dir", str(server.folder)]
        assert subprocess.run(arguments, capture_output=True, timeout=60).returncode == 2
    finally:
        server.end()
