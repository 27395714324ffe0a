"""The `maas` command as its users run it: a process of its own, against a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app import __version__, cli, cli_command, cli_doctor, cli_output
from app.settings import load
from tests.conftest import PENGUINS, ROOT
from tests.processes import Server, eventually, free_port

DECLARE = ROOT / "docs" / "how-to" / "declare-a-network.md"
FAST = ["--params", "epochs=3"]
ENDLESS = ["--params", "epochs=100000", "--params", "early_stopping=null"]


def maas(*arguments: object, server: Server | None = None, stdin: str | None = None) -> Result:
    """Run a command in this process, with a server's address and key if there is one."""
    where = ["--url", server.url, "--key-file", server.folder / "admin.key"] if server else []
    return CliRunner().invoke(cli.app, [str(argument) for argument in (*arguments, *where)], input=stdin)


def printed(*arguments: object, server: Server) -> Any:
    """The JSON that a command prints."""
    done = maas(*arguments, "--json", server=server)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAAS_")}
    command = [sys.executable, "-m", "app.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env=clean | environment
    )


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A real server with its worker."""
    return serve()


def test_the_whole_path_works_from_the_command_line(server: Server) -> None:
    dataset = printed("datasets", "upload", PENGUINS, server=server)
    assert dataset["num_rows"] == 344
    watched = maas("train", "penguins", "--target", "species", *FAST, "--watch", server=server)
    assert watched.exit_code == 0, watched.stderr
    assert "Phase: training." in watched.stderr
    assert "Succeeded: penguins@1." in watched.stderr
    assert "baseline (test)" in watched.stdout
    answer = printed("predict", "penguins@1", "island=Biscoe", "bill_length_mm=46.1", server=server)
    assert answer["model"] == "penguins@1"
    assert answer["predictions"][0]["label"] in ("Adelie", "Chinstrap", "Gentoo")
    many = printed("predict", "penguins", "--csv", PENGUINS, server=server)
    assert len(many["predictions"]) == 344
    row = '{"island": "Biscoe", "bill_length_mm": 46.1}'
    piped = maas("predict", "penguins", "--rows", "-", "--json", server=server, stdin=row)
    assert json.loads(piped.stdout)["predictions"] == answer["predictions"]
    assert printed("models", "show", "penguins@1", server=server)["lineage"]["dataset"] == dataset["id"]


def test_a_file_can_be_trained_on_at_once_and_lists_show_what_came_of_it(server: Server) -> None:
    job = printed("train", PENGUINS, "--target", "body_mass_g", "--spec", "linear", *FAST, "--watch", server=server)
    assert job["status"] == "succeeded"
    assert [each["name"] for each in printed("datasets", "list", server=server)] == ["penguins"]
    assert [each["id"] for each in printed("jobs", "list", server=server)] == [job["id"]]
    assert [each["name"] for each in printed("models", "list", server=server)] == ["penguins"]
    assert {each["name"] for each in printed("specs", "list", server=server)} >= {"dense", "linear"}
    table = maas("jobs", "list", server=server)
    assert job["id"] in table.stdout


def test_a_network_is_declared_from_a_file_shown_and_deleted(server: Server, tmp_path: Path) -> None:
    document = next(iter(re.findall("```json\n(.*?)```", DECLARE.read_text(), re.DOTALL)))
    (tmp_path / "wide.json").write_text(document)
    assert "Declared wide@1." in maas("specs", "add", tmp_path / "wide.json", server=server).stdout
    assert printed("specs", "add", tmp_path / "wide.json", server=server)["reference"] == "wide@2"
    assert printed("specs", "show", "wide@1", server=server)["params"] == json.loads(document)["params"]
    assert "wide@2" in maas("specs", "show", "wide", server=server).stdout
    assert [each["version"] for each in printed("specs", "versions", "wide", server=server)] == [2, 1]
    assert maas("specs", "delete", "wide@2", server=server).exit_code == 0
    assert maas("specs", "delete", "wide@2", server=server).exit_code == 1
    unsaid = maas("specs", "delete", "wide", server=server)
    assert (unsaid.exit_code, "say which version" in unsaid.stderr) == (1, True)
    (tmp_path / "wide.json").write_text(document.replace('"units": 256', '"units": 1000000000'))
    refused = maas("specs", "add", tmp_path / "wide.json", server=server)
    assert "/network/layers/1/layers/0/units" in refused.stderr


def test_a_refusal_names_every_field_and_exits_with_1(server: Server) -> None:
    maas("datasets", "upload", PENGUINS, server=server)
    refused = maas("train", "penguins", "--target", "species", "--params", '{"epochs": "x"}', server=server)
    assert refused.exit_code == 1
    assert "/params/epochs" in refused.stderr
    assert "validation-failed" in refused.stderr


def test_a_job_that_fails_under_watch_is_a_failure(server: Server) -> None:
    command = ("train", PENGUINS, "--target", "species", *ENDLESS)
    job = printed(*command, server=server)
    maas("jobs", "cancel", job["id"], server=server)
    watched = maas("jobs", "watch", job["id"], server=server)
    assert watched.exit_code == 1
    assert "cancelled" in watched.stderr


def test_jobs_are_paused_resumed_and_finished(server: Server) -> None:
    job = printed("train", PENGUINS, "--target", "species", *ENDLESS, server=server)
    path = ("jobs", "show", job["id"])
    eventually(lambda: printed(*path, server=server)["phase"] == "training", seconds=60)
    maas("jobs", "pause", job["id"], server=server)
    eventually(lambda: printed(*path, server=server)["status"] == "paused", seconds=60)
    maas("jobs", "resume", job["id"], server=server)
    eventually(lambda: printed(*path, server=server)["phase"] == "training", seconds=60)
    maas("jobs", "finish", job["id"], server=server)
    assert maas("jobs", "watch", job["id"], server=server).exit_code == 0
    assert printed("models", "show", "penguins", server=server)["latest_version"] == 1


def test_ctrl_c_stops_the_watching_and_not_the_job(server: Server) -> None:
    job = printed("train", PENGUINS, "--target", "species", *ENDLESS, server=server)
    where = ["--url", server.url, "--key", server.key]
    command = [sys.executable, "-m", "app.cli", "jobs", "watch", job["id"], *where]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    assert watching.returncode == cli_command.INTERRUPTED
    assert f"maas jobs watch {job['id']}" in told
    assert server.job(job["id"])["status"] in ("queued", "running")


def test_keys_are_made_listed_and_revoked(server: Server) -> None:
    made = printed("keys", "create", "--name", "n", "--scope", "read", "--expires-in-days", 1, server=server)
    assert maas("datasets", "list", "--url", server.url, "--key", made["key"]).exit_code == 0
    assert made["id"] in [each["id"] for each in printed("keys", "list", server=server)]
    assert printed("keys", "revoke", made["id"], server=server)["revoked_at"]

    def is_refused() -> bool:
        return bool(maas("datasets", "list", "--url", server.url, "--key", made["key"]).exit_code == 1)

    eventually(is_refused, seconds=10)


def test_a_server_that_is_told_to_stop_gives_its_jobs_back_with_a_checkpoint_first(server: Server) -> None:
    job = printed("train", PENGUINS, "--target", "species", *ENDLESS, server=server)
    eventually(lambda: server.job(job["id"])["phase"] == "training", seconds=60)
    ended = server.process
    server.end()
    assert ended is not None
    assert ended.returncode == 0
    server.start()
    events = server.http.get(f"/v1/jobs/{job['id']}/events?limit=100").json()["data"]
    told = [event["message"] for event in events]
    assert "Its worker shut down. The job is queued again." in told
    assert any(message.startswith("Checkpoint at step") for message in told)


def test_no_server_is_3_and_wrong_usage_is_2(tmp_path: Path) -> None:
    nowhere = process("datasets", "list", "--key", "k", "--url", f"http://127.0.0.1:{free_port()}")
    assert nowhere.returncode == 3
    assert "maas serve" in nowhere.stderr
    assert process("train", "x").returncode == 2
    assert maas("predict", "m", "novalue", "--key", "k").exit_code == 2
    unknown = process("serve", "--data-dir", tmp_path, MAAS_DATBASE_URL="x")
    assert unknown.returncode == 2
    assert "MAAS_DATABASE_URL" in unknown.stderr


def test_a_missing_key_says_where_it_is_looked_for(tmp_path: Path) -> None:
    done = process("datasets", "list", MAAS_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert str(tmp_path / "admin.key") in done.stderr


def test_migrate_makes_a_database_that_serves(tmp_path: Path) -> None:
    assert process("migrate", "--data-dir", tmp_path / "data").returncode == 0
    assert (tmp_path / "data" / "maas.db").exists()


def test_doctor_finds_nothing_wrong_with_a_running_server(server: Server) -> None:
    done = process("doctor", "--json", "--data-dir", server.folder, "--url", server.url, **server.environment)
    found = {each["check"]: each for each in json.loads(done.stdout)}
    assert {name for name, each in found.items() if each["status"] == "fail"} == set(), done.stdout
    assert done.returncode == 0
    assert found["server"]["status"] == found["database"]["status"] == found["training"]["status"] == "ok"


def test_doctor_fails_on_a_database_that_does_not_answer(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://maas@127.0.0.1:{free_port()}/maas"
    finding = cli_doctor.check_database(load(environ={}, data_dir=tmp_path, database_url=url))
    assert finding.status == "fail"
    assert "MAAS_DATABASE_URL" in finding.advice


def test_doctor_exits_with_1_when_a_check_fails(tmp_path: Path) -> None:
    done = process("doctor", "--json", "--data-dir", tmp_path, MAAS_PORT="x")
    assert done.returncode == 1
    assert json.loads(done.stdout)[-1]["status"] == "fail"


def test_doctor_warns_of_a_key_that_others_can_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "admin.key").write_text("k")
    (tmp_path / "admin.key").chmod(0o644)
    finding = cli_doctor.check_data_folder(load(environ={}, data_dir=tmp_path))
    assert (finding.status, finding.advice) == ("warn", f"chmod 0600 {tmp_path / 'admin.key'}")


def test_the_demo_walks_the_path_and_leaves(tmp_path: Path) -> None:
    done = process("demo", "--exit", "--data-dir", tmp_path / "demo", "--port", free_port())
    assert done.returncode == 0, done.stderr
    assert "344 rows, version 1 of data set 'penguins'" in done.stdout
    for shown in ("bill_length_mm", "baseline (test)", "penguins@1", "'Iceland' is not a category", "/docs", "curl -H"):
        assert shown in done.stdout
    assert not (tmp_path / "demo" / "demo.url").exists()


def test_a_second_demo_uses_the_server_of_the_first(tmp_path: Path) -> None:
    arguments = ["demo", "--data-dir", str(tmp_path / "demo"), "--port", str(free_port())]
    command = [sys.executable, "-m", "app.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert first.stdout is not None
        assert any("The server stays up" in line for line in first.stdout)
        again = process(*arguments)
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 0
    assert again.returncode == 0, again.stderr
    assert "Using the server at" in again.stdout
    assert "version 2 of data set 'penguins'" in again.stdout
    assert "penguins@2" in again.stdout


def test_help_needs_neither_http_nor_the_service() -> None:
    program = (
        "import sys, app.cli; heavy = {'httpx', 'fastapi', 'sqlalchemy', 'torch', 'numpy', 'rich', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_values_are_json_where_they_can_be() -> None:
    given = ["epochs=5", "hidden=[4, 2]", "activation=relu", "early_stopping=null", '{"dropout": 0.1}', "note=a=b"]
    assert cli_command.pairs(given, option="--params") == {
        "epochs": 5,
        "hidden": [4, 2],
        "activation": "relu",
        "early_stopping": None,
        "dropout": 0.1,
        "note": "a=b",
    }
    cells = ["007", "7", "7.5", "true", "NaN", "[1]", '"x"', "abc"]
    assert [cli_command.scalar(cell) for cell in cells] == ["007", 7, 7.5, True, "NaN", "[1]", '"x"', "abc"]


def test_what_is_shown_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.table("name")([{"name": "\x1b[31mred\x07 [bold]markup[/]"}])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold]markup[/]" in shown


def test_the_version_is_that_of_the_package() -> None:
    assert maas("--version").stdout.strip() == __version__
