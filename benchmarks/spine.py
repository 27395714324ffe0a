"""How soon the server is ready, how soon a job takes its first step, how fast one row is answered.

Run as `python -m benchmarks.spine`. Every figure is the median of rounds in this run; predictions are compared
with a plain FastAPI endpoint (`benchmarks/plain.py`), rounds interleaved, each server alone on its port.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.processes import Server, free_port

PENGUINS = Path(__file__).parents[1] / "examples" / "penguins.csv"
ROW = {
    "island": "Biscoe",
    "sex": "male",
    "bill_length_mm": 46.1,
    "bill_depth_mm": 15.1,
    "flipper_length_mm": 215,
    "body_mass_g": 5100,
    "year": 2008,
}
ROUNDS = 5
REQUESTS = 2000


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {})
        server.start()
        server.end()
        start_seconds, memory_mb = zip(*(_start(server) for _ in range(ROUNDS)), strict=True)
        server.start()
        try:
            _report("start to ready", start_seconds, "s", 1.5)
            _report("memory when ready", memory_mb, "MB", 120)
            _report("submit to first step", _first_steps(server), "s", 0.150)
            _compare_predictions(server)
        finally:
            server.end()


def _start(server: Server) -> tuple[float, float]:
    began = time.perf_counter()
    server.start(poll_seconds=0.005)
    seconds = time.perf_counter() - began
    assert server.process is not None
    memory = psutil.Process(server.process.pid).memory_info().rss / 1e6
    time.sleep(6)  # the launcher of the embedded worker loads torch meanwhile
    server.end()
    return seconds, memory


def _first_steps(server: Server) -> list[float]:
    answer = server.http.post(
        "/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers={"content-type": "text/csv"}
    )
    body = {"dataset": answer.json()["id"], "target": "species", "spec": "dense"}
    server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}).raise_for_status()
    seconds = []
    for _ in range(ROUNDS):
        time.sleep(0.5)
        job = server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}).json()
        events = server.http.get(f"/v1/jobs/{job['id']}/events?limit=100").json()["data"]
        first = next(event for event in events if event["data"].get("phase") == "training")
        seconds.append((_time(first["created_at"]) - _time(job["created_at"])).total_seconds())
    return seconds


def _compare_predictions(server: Server) -> None:
    port = free_port()
    plain = subprocess.Popen([sys.executable, "-m", "benchmarks.plain", str(port)])
    try:
        _wait_for(port)
        body = json.dumps({"rows": [ROW]}).encode()
        ours = _request("/v1/models/penguins@1/predict", body, f"authorization: Bearer {server.key}\r\n")
        theirs = _request("/predict", body, "")
        for connections in (1, 16):
            rounds = []
            for _ in range(ROUNDS):
                assert server.process is not None
                mine = _measure(server.process.pid, server.port, ours, connections)
                rounds.append((mine, _measure(plain.pid, port, theirs, connections)))
            for index, (what, unit) in enumerate((("rate", "/s"), ("server CPU", " us"))):
                ours_, theirs_ = ([side[index] for side in sides] for sides in zip(*rounds, strict=True))
                ratio = statistics.median(a / b for a, b in zip(ours_, theirs_, strict=True))
                figures = f"maas {statistics.median(ours_):.0f}{unit}, plain {statistics.median(theirs_):.0f}{unit}"
                print(f"one row, {connections:2} connections, {what}: ratio {ratio:.2f}  ({figures})")
    finally:
        plain.terminate()
        plain.wait()


def _measure(pid: int, port: int, request: bytes, connections: int) -> tuple[float, float]:
    """Requests a second, and microseconds of the server's CPU for each."""

    async def ask() -> None:
        await asyncio.gather(*(_ask(port, request, REQUESTS // connections) for _ in range(connections)))

    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.perf_counter()
    asyncio.run(ask())
    seconds, after = time.perf_counter() - began, process.cpu_times()
    return REQUESTS / seconds, (after.user + after.system - before.user - before.system) / REQUESTS * 1e6


async def _ask(port: int, request: bytes, times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
    await writer.wait_closed()


def _request(path: str, body: bytes, headers: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _wait_for(port: int) -> None:
    for _ in range(400):
        try:
            httpx.get(f"http://127.0.0.1:{port}/openapi.json")
            return
        except httpx.TransportError:
            time.sleep(0.05)


def _report(what: str, values: Any, unit: str, bar: float, shown: Callable[[float], str] = "{:.3f}".format) -> None:
    middle = statistics.median(values)
    print(f"{what}: median {shown(middle)} {unit}, worst {shown(max(values))} (bar {bar} {unit})")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    main()
