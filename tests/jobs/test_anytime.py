"""Jobs that are used and changed while they run, on a real server."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.jobs.runs import PARAMS, curves, submit, upload, wait
from tests.processes import Server, eventually

LONG = PARAMS | {"epochs": 50_000}
ROW = {"a": 0.1, "b": -0.2, "c": 0.3, "d": 0.0, "e": 1.0, "f": -1.0}


def answer(server: Server, model: str) -> dict[str, Any] | None:
    """What the best weights of a model say, once there are some."""
    told = server.http.post(f"/v1/models/{model}@best/predict", json={"rows": [ROW]})
    return told.json() if told.status_code == 200 else None


def test_the_best_weights_of_a_running_job_answer_get_better_and_become_a_version(steady: Server) -> None:
    stopping = {"early_stopping": {"patience": 10_000}}
    job_id = submit(steady, upload(steady), model="anytime", params=LONG | stopping)
    first = eventually(lambda: answer(steady, "anytime"), seconds=60)
    assert (first["model"], first["snapshot"]["job"]) == ("anytime@best", job_id)
    told = steady.job(job_id)["progress"]["snapshot"]
    assert told["reference"] == "anytime@best"
    later = eventually(
        lambda: a if (a := answer(steady, "anytime")) and a["snapshot"]["epoch"] > first["snapshot"]["epoch"] else None,
        seconds=60,
    )
    assert later["predictions"] != first["predictions"]
    steady.http.post(f"/v1/jobs/{job_id}/finish").raise_for_status()
    assert wait(steady, job_id)["model_version"] == "anytime@1"
    final = eventually(lambda: a if (a := answer(steady, "anytime")) and a["model"] == "anytime@1" else None)
    assert "snapshot" not in final
    assert (
        final["predictions"]
        == steady.http.post("/v1/models/anytime@1/predict", json={"rows": [ROW]}).json()["predictions"]
    )


def test_a_cancelled_job_answers_no_more(steady: Server) -> None:
    job_id = submit(steady, upload(steady), model="dropped", params=LONG)
    eventually(lambda: answer(steady, "dropped"), seconds=60)
    steady.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert wait(steady, job_id)["status"] == "cancelled"
    eventually(lambda: answer(steady, "dropped") is None or None)


def test_a_running_job_obeys_a_new_time_limit(steady: Server) -> None:
    job_id = submit(steady, upload(steady), model="limited", params=LONG)
    spent = eventually(lambda: steady.job(job_id)["progress"].get("seconds_elapsed"), seconds=60)
    changed = steady.http.patch(f"/v1/jobs/{job_id}", json={"limits": {"wall_seconds": spent / 2}})
    assert changed.status_code == 200, changed.text
    begun = time.monotonic()
    eventually(lambda: steady.job(job_id)["phase"] not in ("training", None) or steady.job(job_id)["model_version"])
    assert time.monotonic() - begun < 5
    job = wait(steady, job_id)
    assert (job["status"], job["model_version"]) == ("succeeded", "limited@1")
    manifest = steady.http.get("/v1/models/limited/versions/1").json()["manifest"]
    assert manifest["training"]["stopped"] == "wall_time"


def test_a_paused_job_can_be_finished(steady: Server) -> None:
    job_id = submit(steady, upload(steady), model="put_aside", params=LONG)
    eventually(lambda: steady.job(job_id)["progress"].get("epoch"), seconds=60)
    steady.http.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
    eventually(lambda: steady.job(job_id)["status"] == "paused" or None, seconds=30)
    step = steady.job(job_id)["progress"]["step"]
    assert steady.http.post(f"/v1/jobs/{job_id}/finish").json()["status"] == "queued"
    job = wait(steady, job_id)
    assert (job["status"], job["model_version"], job["progress"]["step"]) == ("succeeded", "put_aside@1", step)


def test_what_a_job_uses_is_told_and_drawn(steady: Server) -> None:
    job_id = submit(steady, upload(steady), params=PARAMS | {"epochs": 40})
    resources = eventually(lambda: steady.job(job_id)["progress"].get("resources"), seconds=60)
    assert resources["rss_bytes"] > 10**7
    assert resources["peak_rss_bytes"] >= resources["rss_bytes"]
    assert wait(steady, job_id)["status"] == "succeeded"
    found = curves(steady, job_id, axis="seconds")
    assert {"loss", "train_loss", "validation_loss", "validation_rmse", "rss_bytes", "cpu_share"} <= set(found)
    assert len(found["validation_loss"]["x"]) == 40
    assert all(each["x"] == sorted(each["x"]) for each in found.values())
    picture = steady.http.get(f"/v1/jobs/{job_id}/charts/memory.svg").text
    assert "<path" in picture or "<circle" in picture


def test_the_stream_of_a_running_job_tells_its_curves_whole(steady: Server) -> None:
    job_id = submit(steady, upload(steady))
    told: dict[str, list[float]] = {}
    with steady.http.stream("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as stream:
        name = ""
        for line in stream.iter_lines():
            name = line.removeprefix("event: ") if line.startswith("event: ") else name
            if line.startswith("data: ") and name == "metrics":
                data = json.loads(line.removeprefix("data: "))
                told = {} if data["replace"] else told
                for each in data["series"]:
                    told.setdefault(each["name"], []).extend(each["x"])
    found = curves(steady, job_id)
    assert told["validation_loss"] == found["validation_loss"]["x"]
    assert len(told["loss"]) == len(set(told["loss"])) <= len(found["loss"]["x"])
