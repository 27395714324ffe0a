"""The prediction log: what is logged and what is not, feedback, and that no answer ever waits for it."""

from __future__ import annotations

import io
import json
import time
from datetime import timedelta
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app import garbage
from app.column_types import now
from app.ids import new_id
from app.prediction_tables import LoggedRow
from app.predictions.prediction_log import PredictionLog
from app.principal import Principal
from app.tables import ModelRow
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

URL = "/v1/models/penguins/log"
FEEDBACK = "/v1/models/penguins/feedback"
pytestmark = pytest.mark.usefixtures("version")


def enable(app: FastAPI, client: TestClient, name: str = "penguins", **rule: Any) -> PredictionLog:
    """Switch a log on, and have this process know it at once."""
    answer = client.put(f"/v1/models/{name}/log", json={"enabled": True, **rule})
    assert answer.status_code == 200, answer.text
    log: PredictionLog = app.state.prediction_log
    log.refresh()
    return log


def predict(client: TestClient, *rows: dict[str, Any], name: str = "penguins") -> Any:
    answer = client.post(f"/v1/models/{name}/predict", json={"rows": list(rows or [ROW])})
    assert answer.status_code == 200, answer.text
    return answer


def logged(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(URL, params=query).json()["data"]
    return found


def tensor(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}


def num_logged(app: FastAPI) -> int:
    with app.state.read_sessions.begin() as session:
        return session.scalars(select(func.count()).select_from(LoggedRow)).one()


def test_nothing_is_logged_unless_somebody_asks_for_it(app: FastAPI, client: TestClient) -> None:
    predict(client)
    app.state.prediction_log.flush()
    assert logged(client) == []
    assert client.get(f"{URL}/rule").json()["enabled"] is False
    log = enable(app, client)
    predict(client)
    assert client.put(URL, json={"enabled": False}).status_code == 200
    log.refresh()
    predict(client)
    log.flush()
    assert len(logged(client)) == 1


def test_a_row_is_logged_with_what_was_asked_and_said_but_for_what_is_left_out(
    app: FastAPI, client: TestClient
) -> None:
    log = enable(app, client, leave_out=["sex", "year"])
    answer = predict(client, ROW, {**ROW, "island": "Iceland", "odd\0": {"a": ["\0", 5]}})
    matrix = client.post("/v1/models/penguins/predict", json={"columns": ["island"], "data": [["Dream"]]})
    log.flush()
    last, second, first = logged(client)
    assert [each["row"] for each in (first, second, last)] == [0, 1, 0]
    assert {first["request"], second["request"]} == {answer.headers["x-request-id"]}
    assert first["inputs"] == {name: value for name, value in ROW.items() if name not in ("sex", "year")}
    assert [first["output"], second["output"]] == json.loads(answer.text.replace("\\u0000", "\ufffd"))["predictions"]
    assert second["inputs"]["odd\ufffd"] == '{"a": ["\\u0000", 5]}'
    assert (last["inputs"], last["request"]) == ({"island": "Dream"}, matrix.headers["x-request-id"])
    assert {each["version"] for each in logged(client)} == {1}
    assert [each["id"] for each in logged(client, limit=2, after=last["id"])] == [second["id"], first["id"]]
    assert logged(client, version=2) == []


def test_no_request_is_logged_with_a_sample_of_nothing_and_about_half_with_one_half(
    app: FastAPI, client: TestClient
) -> None:
    for sample, low, high in ((0.0, 0, 0), (0.5, 5, 55)):
        log = enable(app, client, sample=sample)
        for _ in range(60):
            predict(client)
        log.flush()
        assert low <= num_logged(app) <= high


def test_a_full_queue_drops_and_counts_and_answers_all_the_same(app: FastAPI, client: TestClient) -> None:
    log = enable(app, client)
    log._max_rows = 5
    predict(client, *[ROW] * 6)
    assert 'maas_prediction_log_rows_total{outcome="dropped"} 6.0' in client.get("/metrics").text
    predict(client, *[ROW] * 5)
    log.flush()
    predict(client, *[ROW] * 5)
    log.flush()
    assert 'maas_prediction_log_rows_total{outcome="written"} 10.0' in client.get("/metrics").text
    assert num_logged(app) == 10


def test_no_answer_waits_for_a_database_that_is_busy(app: FastAPI, client: TestClient) -> None:
    log = enable(app, client)
    predict(client)
    time.sleep(0.9)
    with app.state.sessions.begin() as session:
        session.scalars(select(ModelRow)).one().num_versions += 1
        session.flush()
        started = time.monotonic()
        predict(client)
        assert time.monotonic() - started < 2
    log.flush()
    assert len(logged(client)) == 2


def test_what_was_taken_is_written_when_the_process_ends(app: FastAPI, admin_key: str) -> None:
    headers = {"authorization": f"Bearer {admin_key}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as client:
        enable(app, client)
        predict(client)
        app.state.prediction_log._rules = {}
    assert num_logged(app) == 1


def test_feedback_tells_how_good_the_answers_of_each_version_were(app: FastAPI, client: TestClient) -> None:
    log = enable(app, client)
    request = predict(client, ROW, ROW, ROW).headers["x-request-id"]
    log.flush()
    truths = enumerate(["Gentoo", "Adelie", "Gentoo"])
    said = [{"request": request, "row": row, "truth": truth} for row, truth in truths]
    lost = {"request": "req_lost", "row": 0, "truth": "Adelie"}
    answer = client.post(FEEDBACK, json={"data": [*said, lost]}).json()
    assert (answer["num_attached"], answer["unknown"]) == (3, [lost])
    (quality,) = client.get(FEEDBACK).json()["data"]
    assert quality == {"version": 1, "num_rows": 3, "num_truths": 3, "accuracy": pytest.approx(2 / 3), "rmse": None}
    client.post(FEEDBACK, json={"data": [{"request": request, "row": 1, "truth": "Gentoo"}]})
    assert client.get(FEEDBACK).json()["data"][0]["accuracy"] == 1
    assert logged(client)[1]["truth"] == "Gentoo"


def test_the_truth_of_a_value_is_a_number_and_labels_are_compared_with_their_type(
    app: FastAPI, client: TestClient
) -> None:
    with app.state.sessions.begin() as session:
        model_id = session.scalars(select(ModelRow.id)).one()
        outputs: list[dict[str, Any]] = [{"value": 3.0}, {"value": 5.0}, {"label": True}, {"label": 1}]
        for row, output in enumerate(outputs):
            version = 7 if "value" in output else 8
            shape = {"model_id": model_id, "version": version, "request_id": "r", "row": row, "inputs": {}}
            session.add(LoggedRow(id=new_id("log"), output=output, **shape))
    for truth in ("3", True):
        problem = assert_problem(
            client.post(FEEDBACK, json={"data": [{"request": "r", "row": 0, "truth": truth}]}), 422, "validation-failed"
        )
        assert problem["errors"][0]["pointer"] == "/data/0/truth"
    truths: list[Any] = [4, 8.0, 1, 1]
    client.post(FEEDBACK, json={"data": [{"request": "r", "row": row, "truth": t} for row, t in enumerate(truths)]})
    labels, values = client.get(FEEDBACK).json()["data"]
    assert (values["rmse"], values["accuracy"]) == (pytest.approx(5**0.5), None)
    assert (labels["accuracy"], labels["rmse"]) == (0.5, None)


def test_deleting_a_model_deletes_its_log_and_costs_no_other_model_a_row(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id, "other")
    log = enable(app, client)
    enable(app, client, "other")
    predict(client)
    log.flush()
    predict(client)
    predict(client, name="other")
    assert client.delete("/v1/models/penguins").status_code == 204
    assert num_logged(app) == 0
    log.flush()
    assert num_logged(app) == 1
    assert client.get("/v1/models/other/log").json()["data"][0]["inputs"] == ROW
    assert client.delete("/v1/models/other/log").status_code == 204
    assert num_logged(app) == 0


def test_rows_are_removed_once_they_are_older_than_the_model_keeps_them(app: FastAPI, client: TestClient) -> None:
    log = enable(app, client, keep_days=7)
    predict(client, ROW, ROW)
    log.flush()
    with app.state.sessions.begin() as session:
        rows = session.scalars(select(LoggedRow).order_by(LoggedRow.row))
        for row, days in zip(rows, (7.1, 6.9), strict=True):
            row.created_at = now() - timedelta(days=days)
    with app.state.sessions.begin() as session:
        garbage.forget_old_predictions(session)
    assert [each["row"] for each in logged(client)] == [1]


ODD: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "enabled": ("PUT", URL, {}, "/enabled"),
    "sample": ("PUT", URL, {"enabled": True, "sample": 1.1}, "/sample"),
    "keep": ("PUT", URL, {"enabled": True, "keep_days": 0}, "/keep_days"),
    "leave-out": ("PUT", URL, {"enabled": True, "leave_out": [""]}, "/leave_out/0"),
    "member": ("PUT", URL, {"enabled": True, "rate": 1}, "/rate"),
    "nothing": ("POST", FEEDBACK, {"data": []}, "/data"),
    "row": ("POST", FEEDBACK, {"data": [{"request": "r", "row": -1, "truth": 1}]}, "/data/0/row"),
    "long-truth": ("POST", FEEDBACK, {"data": [{"request": "r", "truth": "x" * 10_001}]}, "/data/0/truth"),
    "no-truth": ("POST", FEEDBACK, {"data": [{"request": "r"}]}, "/data/0/truth"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_rules_and_feedback_are_refused_with_a_pointer(client: TestClient, name: str) -> None:
    method, url, body, pointer = ODD[name]
    problem = assert_problem(client.request(method, url, json=body), 422, "validation-failed")
    assert problem["errors"][0]["pointer"].startswith(pointer)


def test_the_log_of_another_project_is_not_found(client: TestClient, stranger: dict[str, str]) -> None:
    client.put(URL, json={"enabled": True})
    for url in (URL, f"{URL}/rule", FEEDBACK):
        assert_problem(client.get(url, headers=stranger), 404, "not-found")
    assert_problem(client.put(URL, json={"enabled": False}, headers=stranger), 404, "not-found")


def test_rows_of_files_and_of_other_dialects_are_logged_as_if_they_had_been_native(
    app: FastAPI, client: TestClient
) -> None:
    log = enable(app, client, leave_out=["sex"])
    table = pyarrow.Table.from_pylist([ROW | {"height": float("nan")}])
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    url, csv = "/v1/models/penguins/predict", {"content-type": "text/csv"}
    lines = "\n".join([",".join(ROW), ",".join(map(str, ROW.values()))])
    answers = [
        client.post(url, content=lines, headers=csv),
        client.post(url, content=lines, headers=csv | {"accept": "text/csv"}),
        client.post(url, json={"rows": [ROW], "id": "mine"}, headers={"accept": "text/csv"}),
        client.post(url, content=sink.getvalue(), headers={"content-type": "application/vnd.apache.parquet"}),
        client.post("/invocations?model=penguins", content=lines, headers=csv),
        client.post("/invocations?model=penguins", json={"inputs": {name: [value] for name, value in ROW.items()}}),
        client.post("/invocations?model=penguins", json={"dataframe_records": [ROW]}),
        client.post(
            "/invocations?model=penguins", json={"dataframe_split": {"columns": [*ROW], "data": [[*ROW.values()]]}}
        ),
        client.post("/v1/models/penguins:predict", json={"instances": [[*ROW.values()]]}),
        client.post("/v2/models/penguins/infer", json={"inputs": [tensor(*cell) for cell in ROW.items()]}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 10
    log.flush()
    found = logged(client)[::-1]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [each["request"] for each in found] == [*ids[:2], "mine", *ids[3:]]
    expected = {name: value for name, value in ROW.items() if name != "sex"}
    assert found[3]["inputs"].pop("height") is None
    assert [each["inputs"] for each in found] == [expected] * 10
    assert {each["output"]["label"] for each in found} == {answers[-2].json()["predictions"][0]["label"]}
    assert found[9]["output"]["probabilities"] == found[0]["output"]["probabilities"]
