"""A training that runs again on the same machine gives the same bits, and a job says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.jobs.reproduction import Point, Run, compare, first_difference, weights_apart
from tests.jobs.runs import PARAMS, submit, upload, wait
from tests.processes import Server, eventually
from tests.test_errors import assert_problem

CURVE = [Point(step, step / 10, {"train_loss": 1.0 / step, "validation_loss": 2.0 / step}) for step in range(1, 6)]


def run(**changes: Any) -> Run:
    """A run with changes."""
    manifest = {"threads": 1, "libraries": {"torch": "2.13.0", "numpy": "2.5.0"}, "machine": {"cpu": "A"}}
    return Run(**{"weights": "w", "graph": "g", "manifest": manifest, "metrics": {}, "curve": CURVE, **changes})


def reproduce(server: Server, job_id: str) -> dict[str, Any]:
    """The job that trains it again, when it has ended."""
    answer = server.http.post(f"/v1/jobs/{job_id}/reproduce")
    assert answer.status_code == 201, answer.text
    job = wait(server, answer.json()["id"])
    assert job["status"] == "succeeded", server.story(job["id"])
    return job


def test_a_training_is_reproduced_to_the_bit_and_makes_no_version(steady: Server) -> None:
    trained = submit(steady, upload(steady), model="again", params=PARAMS | {"epochs": 5})
    wait(steady, trained)
    job = reproduce(steady, trained)
    assert (job["kind"], job["reproduces"], job["model_version"]) == ("reproduce", trained, None)
    assert job["reproduction"] == {
        "equal": True, "weights_equal": True, "graph_equal": True, "metrics_equal": True,
        "first_difference": None, "weights_difference": None, "differences": {},
    }  # fmt: skip
    assert len(steady.http.get("/v1/models/again/versions").json()["data"]) == 1


def test_a_training_that_time_has_ended_is_reproduced_up_to_its_last_step(steady: Server) -> None:
    dataset, endless = upload(steady), PARAMS | {"epochs": 50_000}
    late = submit(steady, dataset, params=endless, limits={"wall_seconds": 1})
    finished = submit(steady, dataset, params=endless)
    eventually(lambda: steady.job(finished)["progress"].get("epoch"), seconds=60)
    steady.http.post(f"/v1/jobs/{finished}/finish").raise_for_status()
    for job_id in (late, finished):
        ended = wait(steady, job_id)
        again = reproduce(steady, job_id)
        assert again["reproduction"]["equal"], again["reproduction"]
        assert again["progress"]["step"] == ended["progress"]["step"]


def test_only_a_training_that_succeeded_can_be_reproduced(steady: Server) -> None:
    failed = submit(steady, upload(steady), params=PARAMS | {"learning_rate": 100.0, "momentum": 0.0})
    assert_problem(steady.http.post(f"/v1/jobs/{failed}/reproduce"), 409, "conflict")
    wait(steady, failed)
    assert_problem(steady.http.post(f"/v1/jobs/{failed}/reproduce"), 409, "conflict")
    assert_problem(steady.http.post("/v1/jobs/job_nothing/reproduce"), 404, "not-found")


def test_a_deleted_version_and_deleted_data_are_said_to_be_gone(steady: Server) -> None:
    dataset = upload(steady)
    trained = submit(steady, dataset, model="gone", params=PARAMS | {"epochs": 1})
    wait(steady, trained)
    again = reproduce(steady, trained)
    assert_problem(steady.http.post(f"/v1/jobs/{again['id']}/reproduce"), 409, "conflict")
    assert steady.http.delete("/v1/models/gone").status_code == 204
    problem = assert_problem(steady.http.post(f"/v1/jobs/{trained}/reproduce"), 409, "conflict")
    assert "deleted" in problem["detail"]
    assert steady.http.delete(f"/v1/datasets/{dataset}?cascade=true").status_code == 204
    assert_problem(steady.http.post(f"/v1/jobs/{trained}/reproduce"), 404, "not-found")


def test_equal_runs_are_equal() -> None:
    found = compare(run(), run())
    assert found["equal"]
    assert (found["first_difference"], found["differences"]) == (None, {})


@pytest.mark.parametrize("change", [{"weights": "x"}, {"graph": "x"}, {"metrics": {"test": 1}}, {"curve": CURVE[:-1]}])
def test_runs_that_differ_anywhere_are_not_equal(change: dict[str, Any]) -> None:
    assert not compare(run(), run(**change))["equal"]


def test_the_first_step_that_differs_is_named_with_its_difference() -> None:
    other = [*CURVE[:2], CURVE[2]._replace(values=CURVE[2].values | {"train_loss": 0.5}), *CURVE[3:]]
    found = first_difference(CURVE, other)
    assert found is not None
    assert (found["step"], set(found["values"])) == (3, {"train_loss"})
    assert found["values"]["train_loss"]["difference"] == 0.5 - 1 / 3


def test_a_curve_that_ends_early_parts_where_it_ends() -> None:
    found = first_difference(CURVE, CURVE[:3])
    assert found is not None
    assert found["step"] == 4
    assert found["reason"]


def test_what_was_different_around_a_run_is_listed() -> None:
    manifest = {"threads": 2, "libraries": {"torch": "2.14.0", "numpy": "2.5.0"}, "machine": {"cpu": "B"}}
    assert compare(run(), run(manifest=manifest))["differences"] == {
        "libraries.torch": {"recorded": "2.13.0", "found": "2.14.0"},
        "machine.cpu": {"recorded": "A", "found": "B"},
        "threads": {"recorded": 1, "found": 2},
    }


def test_the_tensor_that_differs_most_is_named(tmp_path: Path) -> None:
    ours = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
    save_file(ours, tmp_path / "ours")
    save_file(ours | {"b": ours["b"] + np.float32(0.25)}, tmp_path / "theirs")
    assert weights_apart(tmp_path / "ours", tmp_path / "theirs") == {"tensor": "b", "largest": 0.25}
    assert weights_apart(tmp_path / "ours", tmp_path / "ours") is None
