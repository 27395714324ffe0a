"""How good models are on public data, through the running service: upload, train, predict, score.

Run as `python -m benchmarks.quality FOLDER [--spec NAME] [--sets a,b] [--wall-seconds N]`. The folder holds NAME.csv
with NAME.json (target, task) and NAME.test_rows.txt, the 0-based rows that only measure. A request names the data set,
the target and, where one is given, the spec, nothing else. The score of a set is 0 for the constant answer and 1 for
the best loss that is known (see BEST), clipped at -1 and 1.05; for other sets only the loss is told.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.processes import Server

# Losses (RMSE, or log-loss) of the constant answer, and the least of linear models, multilayer perceptrons, LightGBM,
# XGBoost, CatBoost, RealMLP, a bag of it, and AutoGluon in 120 s, all measured on the same splits.
BEST = {
    "ames": (85743, 25316), "breast_cancer": (0.6582, 0.02845), "credit": (0.5946, 0.4134), "diamonds": (3995, 503),
    "digits": (2.302, 0.07915), "flights": (0.5446, 0.4373), "hpc_jobs": (1.129, 0.4109), "penguins": (1.054, 0.06686),
}  # fmt: skip
BARS = {"ensemble": (0.95, 0.75), "auto": (0.985, 0.88)}
ROWS_PER_REQUEST = 2000
SMALLEST = 1.2e-7


def main() -> None:
    """Train and score every set, then print the mean and the worst."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spec")
    parser.add_argument("--sets")
    parser.add_argument("--wall-seconds", type=float)
    chosen = parser.parse_args()
    names = chosen.sets.split(",") if chosen.sets else sorted(path.stem for path in chosen.folder.glob("*.csv"))
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {}).start()
        try:
            for name in names:
                scores += _measure(server, chosen.folder, name, chosen.spec, chosen.wall_seconds)
        finally:
            server.end()
    if scores:
        bars = BARS.get(chosen.spec or "ensemble")
        told = f" (bars: {bars[0]} and {bars[1]})" if bars else ""
        print(f"mean {statistics.mean(scores):.3f}, worst {min(scores):.3f} of {len(scores)} sets{told}")


def _measure(server: Server, folder: Path, name: str, spec: str | None, wall_seconds: float | None) -> list[float]:
    about = json.loads((folder / f"{name}.json").read_text())
    header, train, test = _divided(folder, name)
    job, seconds = _train(server, name, _as_csv(header, train), about["target"], spec, wall_seconds)
    if job["status"] != "succeeded":
        print(f"{name:14} {job['status']}: {job['error']}", flush=True)
        return []
    loss = _loss(_predictions(server, job["model_version"], header, test, about["target"]), about, header, test)
    part = next(iter(job["metrics"]["test"].keys() & {"log_loss", "rmse"}))
    linear = job["metrics"].get("linear", {}).get("test", {}).get(part, math.nan)
    told = f"{name:14} loss {loss:11.4f}  held out {job['metrics']['test'][part]:11.4f}  linear there {linear:11.4f}"
    if name not in BEST:
        print(f"{told}  {seconds:5.0f} s", flush=True)
        return []
    constant, best = BEST[name]
    score = min(1.05, max(-1.0, (constant - loss) / (constant - best)))
    print(f"{told}  score {score:6.3f}  {seconds:5.0f} s", flush=True)
    return [score]


def _divided(folder: Path, name: str) -> tuple[list[str], list[list[str]], list[list[str]]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    numbers = {int(number) for number in (folder / f"{name}.test_rows.txt").read_text().split()}
    train = [row for number, row in enumerate(rows) if number not in numbers]
    return header, train, [row for number, row in enumerate(rows) if number in numbers]


def _as_csv(header: list[str], rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue().encode()


def _train(
    server: Server, name: str, table: bytes, target: str, spec: str | None, wall_seconds: float | None
) -> tuple[dict[str, Any], float]:
    headers = {"content-type": "text/csv"}
    dataset = server.http.post(f"/v1/datasets?name={name}", content=table, headers=headers).json()
    body: dict[str, Any] = {"dataset": dataset["id"], "target": target} | ({"spec": spec} if spec else {})
    if wall_seconds is not None:
        body["limits"] = {"wall_seconds": wall_seconds}
    began = time.perf_counter()
    job = server.http.post("/v1/jobs", json=body).json()
    while job["status"] not in ("succeeded", "failed", "cancelled"):
        job = server.http.get(f"/v1/jobs/{job['id']}", headers={"prefer": "wait=60"}).json()
    return job, time.perf_counter() - began


def _predictions(
    server: Server, reference: str, header: list[str], rows: list[list[str]], target: str
) -> list[dict[str, Any]]:
    """The answers to the test rows, typed as the data set's columns are."""
    version = server.http.get("/v1/models/{}/versions/{}".format(*reference.split("@"))).json()
    types = {column["name"]: column["type"] for column in version["manifest"]["inputs"]}
    names = [name for name in header if name != target and name in types]
    places = [header.index(name) for name in names]
    data = [[_typed(row[place], types[name]) for place, name in zip(places, names, strict=True)] for row in rows]
    answers: list[dict[str, Any]] = []
    for start in range(0, len(data), ROWS_PER_REQUEST):
        body = {"columns": names, "data": data[start : start + ROWS_PER_REQUEST]}
        answers += (
            server.http.post(f"/v1/models/{reference}/predict", json=body).raise_for_status().json()["predictions"]
        )
    return answers


def _typed(text: str, kind: str) -> object:
    if text in ("", "NA"):
        return None
    if kind in ("integer", "real"):
        return float(text)
    return text.lower() == "true" if kind == "boolean" else text


def _loss(answers: list[dict[str, Any]], about: dict[str, Any], header: list[str], rows: list[list[str]]) -> float:
    truth = [row[header.index(about["target"])] for row in rows]
    if about["task"] == "regression":
        squares = [(answer["value"] - float(value)) ** 2 for answer, value in zip(answers, truth, strict=True)]
        return math.sqrt(statistics.mean(squares))
    shares = [answer["probabilities"].get(label, 0.0) for answer, label in zip(answers, truth, strict=True)]
    return -statistics.mean(math.log(max(share, SMALLEST)) for share in shares)


if __name__ == "__main__":
    main()
