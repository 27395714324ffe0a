"""The curves of jobs: stored, thinned on the way out, drawn, and streamed."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from app.charts import HEADERS
from app.database import Sessions
from app.jobs import curves, queue
from app.jobs.curves import Stored
from app.jobs.lease import Beat
from app.jobs.watch import News
from app.learning.curves import Curve
from app.tables import JobMetricRow, JobRow
from tests.jobs.rows import Insert, claim, read


def value(step: int) -> float:
    """A loss with a peak that a thinned curve must not lose."""
    return 99.0 if step == 54_321 else 1.0 / math.sqrt(step)


def stored(num_steps: int, *, kind: str = "step", name: str = "loss") -> list[dict[str, Any]]:
    """What an attempt of so many steps stores."""
    curve = Curve()
    made = curve.extend(name, 1, [value(step) for step in range(1, num_steps + 1)])
    rest = curve.rest()
    return [
        {
            "kind": kind, "position": each.position, "step": each.position, "epoch": each.position / 100,
            "seconds": each.position / 1000, "values": each.values, "low": each.low, "high": each.high,
        }
        for each in [*made, *([rest] if rest else [])]
    ]  # fmt: skip


def store(app: FastAPI, job_id: str, points: list[dict[str, Any]]) -> None:
    with app.state.sessions.begin() as session:
        curves.append(session, job_id, points)


@pytest.fixture
def job_id(client: TestClient, app: FastAPI, dataset_id: str) -> str:
    """A queued job."""
    answer = client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"})
    found: str = answer.json()["id"]
    return found


def get(client: TestClient, job_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/jobs/{job_id}/metrics", params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_a_hundred_thousand_steps_are_answered_at_once_and_in_few_bytes(
    client: TestClient, app: FastAPI, job_id: str
) -> None:
    store(app, job_id, stored(100_000))
    path, seconds = f"/v1/jobs/{job_id}/metrics?series=loss", []
    for _ in range(5):
        # Of the processor: others may be at work on this machine, too.
        begun = time.process_time()
        answer = client.get(path)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.1
    assert len(answer.content) < 40_000
    (loss,) = answer.json()["data"]
    assert len(loss["x"]) == len(loss["y"]) <= 500
    assert (loss["x"][0], loss["y"][0], loss["x"][-1]) == (1, 1.0, 100_000)
    assert max(loss["high"]) == 99.0
    assert loss["num_points"] > 1000


@pytest.mark.parametrize("resolution", [2, 3, 10, 499, 10_000])
@pytest.mark.parametrize("axis", ["step", "epoch", "seconds"])
def test_no_resolution_loses_an_end_or_an_extreme(
    client: TestClient, app: FastAPI, job_id: str, axis: str, resolution: int
) -> None:
    store(app, job_id, stored(60_000))
    (loss,) = get(client, job_id, resolution=resolution, axis=axis)
    scale = {"step": 1, "epoch": 100, "seconds": 1000}[axis]
    assert len(loss["x"]) <= resolution
    assert (loss["x"][0], loss["x"][-1]) == pytest.approx((1 / scale, 60_000 / scale))
    assert loss["x"] == sorted(loss["x"])
    assert loss["y"][0] == 1.0
    if resolution > 2:
        assert max(loss["high"]) == 99.0
    for low, y, high in zip(loss["low"], loss["y"], loss["high"], strict=True):
        assert low <= y <= high


def test_values_put_together_keep_their_mean() -> None:
    points = [Stored(**each) for each in stored(5000)]
    (thin,) = curves.series(points, axis="step", resolution=50)
    mean = sum(value(step) for step in range(1, 5001)) / 5000
    covered = [later - earlier for earlier, later in zip([0, *thin.x], thin.x, strict=False)]
    assert sum(y * weight for y, weight in zip(thin.y, covered, strict=True)) / 5000 == pytest.approx(mean, rel=0.02)


def test_few_points_come_as_they_are(client: TestClient, app: FastAPI, job_id: str) -> None:
    store(app, job_id, stored(300))
    (loss,) = get(client, job_id)
    assert loss["y"] == pytest.approx([value(step) for step in range(1, 301)], rel=1e-8)
    assert (loss["low"], loss["high"]) == (None, None)


def test_a_range_and_names_choose_what_is_told(client: TestClient, app: FastAPI, job_id: str) -> None:
    store(app, job_id, stored(1000))
    store(app, job_id, stored(10, kind="epoch", name="validation_loss"))
    assert [each["name"] for each in get(client, job_id)] == ["loss", "validation_loss"]
    (loss,) = get(client, job_id, series="loss,nothing", from_step=100, to_step=200)
    assert (loss["x"][0], loss["x"][-1], loss["num_points"]) == (100, 200, 101)
    assert get(client, job_id, series="nothing") == []
    assert get(client, job_id, from_step=10**9) == []


@pytest.mark.parametrize(
    "query",
    ["axis=hours", "resolution=1", "resolution=10001", "from_step=-1", "from_step=5&to_step=4", "to_step=x",
     "from_step=99999999999999999999"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["metrics", "charts/loss.svg", "charts/loss.json"])
def test_odd_questions_are_refused_by_name(client: TestClient, job_id: str, path: str, query: str) -> None:
    answer = client.get(f"/v1/jobs/{job_id}/{path}?{query}")
    assert answer.status_code == 422, answer.text
    name = query.rpartition("&")[2].partition("=")[0]
    assert any(name in error["pointer"] for error in answer.json()["errors"])


def test_an_unknown_job_has_no_curves(client: TestClient) -> None:
    for path in ("metrics", "charts/loss.svg", "charts/loss.json"):
        assert client.get(f"/v1/jobs/job_0/{path}").status_code == 404


@pytest.mark.parametrize("name", ["loss", "score", "learning_rate", "gradient_norm", "throughput", "cpu", "memory"])
def test_every_chart_is_drawn_with_and_without_values(client: TestClient, app: FastAPI, job_id: str, name: str) -> None:
    picture = client.get(f"/v1/jobs/{job_id}/charts/{name}.svg")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert picture.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert "no values yet" in picture.text
    series = client.get(f"/v1/jobs/{job_id}/charts/{name}.json").json()
    assert (series["name"], series["series"]) == (name, [])


def test_a_chart_shows_what_its_data_tells(client: TestClient, app: FastAPI, job_id: str) -> None:
    store(app, job_id, stored(5000))
    store(app, job_id, stored(50, kind="epoch", name="validation_loss"))
    data = client.get(f"/v1/jobs/{job_id}/charts/loss.json?resolution=20&axis=epoch").json()
    assert [each["name"] for each in data["series"]] == ["loss", "validation_loss"]
    assert (data["title"], data["x_label"], len(data["series"][0]["x"])) == ("Loss: penguins", "epoch", 20)
    picture = client.get(f"/v1/jobs/{job_id}/charts/loss.svg").text
    assert picture.count("<path") == 2
    assert picture.count("<polygon") == 1
    assert client.get(f"/v1/jobs/{job_id}/charts/nothing.svg").status_code == 422


def test_going_on_from_a_checkpoint_forgets_what_later_steps_told(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    lease = claim(sessions)
    sample = {**stored(1, kind="sample", name="rss_bytes")[0], "position": 5000, "step": 3}
    with sessions.begin() as session:
        queue.beat(session, lease, Beat(points=[*stored(3), *stored(3, kind="epoch"), sample]))
    with sessions.begin() as session:
        queue.beat(session, lease, Beat(rewind_to=2))
    with sessions.begin() as session:
        kept = [(point.kind, point.position) for point in curves.read(session, job_id)]
        assert kept == [("epoch", 1), ("epoch", 2), ("sample", 5000), ("step", 1), ("step", 2)]
        assert curves.last_sample(session, job_id) == 5000


def look(sessions: Sessions, news: News, job_id: str) -> list[Any]:
    with sessions.begin() as session:
        return news.look(session, session.get_one(JobRow, job_id))


def test_a_stream_tells_every_point_once_and_begins_anew_with_a_new_attempt(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    lease = claim(sessions)
    news, late = News(job_id), News(job_id)
    assert look(sessions, news, job_id) == []
    with sessions.begin() as session:
        queue.beat(session, lease, Beat(phase="training", points=stored(10)[:4], progress={"step": 4}))
    ((name, data),) = look(sessions, news, job_id)
    assert (name, data["replace"], data["series"][0]["x"]) == ("metrics", True, [1, 2, 3, 4])
    assert look(sessions, news, job_id) == []
    with sessions.begin() as session:
        queue.beat(session, lease, Beat(points=stored(10)[4:6], progress={"step": 6}))
    ((_, data),) = look(sessions, news, job_id)
    assert (data["replace"], data["series"][0]["x"]) == (False, [5, 6])
    ((_, data),) = look(sessions, late, job_id)
    assert (data["replace"], data["series"][0]["x"]) == (True, [1, 2, 3, 4, 5, 6])
    with sessions.begin() as session:
        queue.fault(session, lease, "it died.", max_attempts=3)
    lease = claim(sessions)
    assert look(sessions, news, job_id) == []
    with sessions.begin() as session:
        queue.beat(session, lease, Beat(rewind_to=2))
        queue.beat(session, lease, Beat(phase="training", points=stored(10)[2:3], progress={"step": 3}))
    ((_, data),) = look(sessions, news, job_id)
    assert (data["replace"], data["series"][0]["x"]) == (True, [1, 2, 3])


def test_the_stream_of_events_carries_the_curves_beside_its_numbers(
    client: TestClient, app: FastAPI, job_id: str
) -> None:
    store(app, job_id, stored(5))
    client.post(f"/v1/jobs/{job_id}/cancel")
    text = client.get(f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream", "last-event-id": "1"}).text
    messages = [block.split("\n") for block in text.strip().split("\n\n")]
    named = [lines[-2].removeprefix("event: ") for lines in messages if lines[-2:][0].startswith("event: ")]
    assert named == ["status", "metrics", "done"]
    assert [lines[0] for lines in messages if lines[0].startswith("id: ")] == ["id: 2"]


def test_curves_go_with_their_job(app: FastAPI, client: TestClient, job_id: str, dataset_id: str) -> None:
    store(app, job_id, stored(5))
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true").status_code in (200, 204)
    with app.state.sessions.begin() as session:
        assert session.scalars(select(func.count()).select_from(JobMetricRow)).one() == 0


def test_metrics_of_running_jobs_are_told_to_their_project_only(
    client: TestClient, app: FastAPI, sessions: Sessions, job_id: str, stranger: dict[str, str]
) -> None:
    progress = {"fraction": 0.25, "rows_per_second": 1000.0, "resources": {"rss_bytes": 5, "cpu_share": None}}
    with app.state.sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(status="running", progress=progress))
    told = client.get("/metrics").text
    assert f'maas_job_progress_ratio{{job="{job_id}",model="penguins"}} 0.25' in told
    assert f'maas_job_memory_bytes{{job="{job_id}",model="penguins"}} 5.0' in told
    assert "maas_job_cores{" not in told
    assert job_id not in client.get("/metrics", headers=stranger).text
    assert read(sessions, job_id).status == "running"
