"""How fast a gigabyte is received, against a bare endpoint that writes and syncs it, and what predictions feel of it.

Run as `python -m benchmarks.receive [--mb N] [--rounds N]`. Both servers are uvicorn with uvloop and httptools;
`curl -T` sends the same file to each, rounds interleaved, and never the same bytes twice. Ours authenticates, hashes,
checks the Content-Digest, makes the bytes durable and commits a row; no worker runs, so reading the table is not part.
Predictions are also timed while the bare endpoint receives, in its own process: that is what the cores and the clients
that share them cost, whoever receives.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2 as httpx
import psutil

from benchmarks.spine import PENGUINS, ROW
from tests.processes import Server, eventually, free_port

MIN_RATE = 0.7
MAX_GROWTH_MB = 64
MAX_P99 = 3.0
IDLE_REQUESTS = 2000
BARE = """
import os, sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    fd = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    more = True
    while more:
        message = await receive()
        os.write(fd, message.get("body", b""))
        more = message.get("more_body", False)
    os.fsync(fd)
    os.close(fd)
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", loop="uvloop", http="httptools", lifespan="off")
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receive")
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.csv"
        block = b"".join(b"%d,%d,some text\n" % (i, i * i) for i in range(40_000))
        file.write_bytes(b"a,b,00000\n" + block * (chosen.mb * 10**6 // len(block)))
        server = Server(folder / "data", {}).start()
        _train(server)
        server.end()
        server.environment["MAAS_EMBEDDED_WORKER"] = "false"
        server.start()
        port = free_port()
        bare = subprocess.Popen([sys.executable, "-c", BARE, str(port), str(folder / "bare.bin")])
        try:
            eventually(lambda: psutil.Process(bare.pid).net_connections("inet"), seconds=20)
            _compare(server, f"http://127.0.0.1:{port}/", file, chosen.rounds)
        finally:
            bare.terminate()
            bare.wait()
            server.end()


def _train(server: Server) -> None:
    headers = {"content-type": "text/csv"}
    dataset = server.http.post("/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers=headers).json()
    body = {"dataset": dataset["id"], "target": "species", "model": "penguins"}
    server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}).raise_for_status()


def _compare(server: Server, bare: str, file: Path, num_rounds: int) -> None:
    idle = _predict(server, lambda sent: sent >= IDLE_REQUESTS)
    process = psutil.Process(server.process.pid)
    peak = before = process.memory_info().rss
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    during: list[float] = []
    beside: list[float] = []
    for number in range(num_rounds):
        seconds["bare"].append(_send(file, [bare]))
        seconds["ours"].append(_send(file, _to_ours(server, file, 2 * number)))
        target = _to_ours(server, file, 2 * number + 1)
        busy, memory = _watched(server, process, lambda target=target: _send(file, target))
        during += busy
        beside += _watched(server, process, lambda: _send(file, [bare]))[0]
        peak = max(peak, memory)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        rate = file.stat().st_size / 1e6 / median
        print(f"{name}: {median:.2f} s, {rate:.0f} MB/s; rounds {[round(each, 2) for each in seconds[name]]}")
    print(f"rate against the bare endpoint: {medians['bare'] / medians['ours']:.2f} (bar: {MIN_RATE})")
    print(f"growth of memory: {(peak - before) / 1e6:.0f} MB (bar: {MAX_GROWTH_MB})")
    quiet, busy_p99 = _p99(idle), _p99(during)
    ratio = busy_p99 / quiet
    print(f"p99 of predictions: {quiet:.2f} ms idle, {busy_p99:.2f} ms while receiving, {ratio:.1f}x (bar: {MAX_P99})")
    print(f"p99 of predictions while the bare endpoint receives: {_p99(beside):.2f} ms, {_p99(beside) / quiet:.1f}x")


def _to_ours(server: Server, file: Path, number: int) -> list[str]:
    """What curl needs to send the file, changed so that its bytes are not stored already."""
    with file.open("r+b") as stream:
        stream.write(b"a,b,%05d" % number)
    with file.open("rb") as stream:
        digest = base64.b64encode(hashlib.file_digest(stream, "sha256").digest()).decode()
    return [
        *("-H", f"Authorization: Bearer {server.key}", "-H", "Content-Type: text/csv"),
        *("-H", f"Content-Digest: sha-256=:{digest}:", f"{server.url}/v1/datasets?name=big"),
    ]


def _send(file: Path, target: list[str]) -> float:
    began = time.perf_counter()
    command = ["curl", "-sS", "-o", "/dev/null", "-f", "-X", "POST", "-T", str(file), *target]
    subprocess.run(command, check=True, timeout=300)
    return time.perf_counter() - began


def _watched(server: Server, process: psutil.Process, send: object) -> tuple[list[float], int]:
    """Predictions while something is sent, and the most memory seen meanwhile."""
    thread = threading.Thread(target=send)  # type: ignore[arg-type]
    thread.start()
    peak = 0

    def is_over(_: int) -> bool:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return not thread.is_alive()

    taken = _predict(server, is_over)
    thread.join()
    return taken, peak


def _predict(server: Server, is_over: object) -> list[float]:
    taken: list[float] = []
    with httpx.Client(base_url=server.url, headers=server.http.headers) as client:
        while not is_over(len(taken)):  # type: ignore[operator]
            began = time.perf_counter()
            client.post("/v1/models/penguins@1/predict", json={"rows": [ROW]}).raise_for_status()
            taken.append(1000 * (time.perf_counter() - began))
            time.sleep(0.001)
    return taken[10:]


def _p99(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=100)[98]


if __name__ == "__main__":
    main()
