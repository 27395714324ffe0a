"""How fast rows are answered, next to an application that computes nothing, and to peers with the same network.

Run as `python -m benchmarks.serving [--network 30-128-128-2] [--seconds 3] [--rounds 3] [--cases j1c64,j256c16]
[--peer mosec=PYTHON]`; needs `wrk`. Ours is `maas serve` with one API process, with authentication, validation and
metrics on. `j` sends JSON rows, `b` raw float32 rows (ours: binary tensors of the Open Inference Protocol,
probabilities out, as from the others); the number of rows follows, and `c` with the number of connections. Rounds are
interleaved; a ratio is the median over rounds of ours divided by theirs in the same round. `us` is the server's CPU
time for a request. A peer runs `benchmarks/peers/NAME_peer.py` with its own interpreter.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import psutil

from tests.processes import Server, eventually, free_port

FOLDER = Path(__file__).parent
CASE = re.compile(r"([jb])(\d+)c(\d+)")
CASES = "j1c1,j1c16,j1c64,j256c16,b256c16,b4096c16"
# Frees what a peer would otherwise be measured with: threads that fight for two cores.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Target:
    """A running server, and how it is asked: by format, the path and the headers."""

    name: str
    pid: int
    port: int
    paths: dict[str, str]
    headers: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Measured:
    """Requests a second, median latency, CPU time of the server a request."""

    rate: float
    p50_ms: float
    cpu_us: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--network", default="30-128-128-2")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--peer", action="append", default=[])
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.network.split("-")]
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {"MAAS_EMBEDDED_WORKER": "true"}).start()
        try:
            targets = [_ours(server, sizes)]
            for name, python in [("noop", sys.executable), ("eager", sys.executable), *_peers(chosen.peer)]:
                targets.append(_start(name, python, chosen.network, started))
            for case in chosen.cases.split(","):
                _report(case, targets, sizes, Path(folder), chosen)
        finally:
            server.end()
            for process in started:
                process.terminate()
                process.wait(20)


def _peers(given: list[str]) -> list[tuple[str, str]]:
    pairs = [peer.partition("=") for peer in given]
    return [(name, python) for name, _, python in pairs]


def _ours(server: Server, sizes: list[int]) -> Target:
    """Train a network of these sizes for one epoch; the worker rests afterwards."""
    rng = np.random.default_rng(0)
    names = [f"f{number}" for number in range(sizes[0])]
    lines = [",".join([*names, "y"])]
    x_BF = rng.normal(size=(2000, sizes[0])).round(4)
    lines += [",".join([*map(str, row), f"c{index % sizes[-1]}"]) for index, row in enumerate(x_BF.tolist())]
    csv = {"content-type": "text/csv"}
    dataset = server.http.post("/v1/datasets?name=rows", content="\n".join(lines).encode(), headers=csv).json()
    params = {"hidden": sizes[1:-1], "activation": "silu", "epochs": 1}
    body = {"dataset": dataset["id"], "target": "y", "model": "net", "spec": "dense", "params": params}
    job = server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}).json()
    if job["status"] != "succeeded":
        raise RuntimeError(job["error"])
    assert server.process is not None
    key = {"authorization": f"Bearer {server.key}"}
    return Target(
        "maas", server.process.pid, server.port,
        {"j": "/v1/models/net@1/predict", "b": "/v2/models/net@1/infer"},
        {"j": key | {"content-type": "application/json"}, "b": key},
    )  # fmt: skip


def _start(name: str, python: str, network: str, started: list[subprocess.Popen[bytes]]) -> Target:
    port = free_port()
    file = FOLDER / f"{name}.py" if name in ("noop", "eager") else FOLDER / "peers" / f"{name}_peer.py"
    process = subprocess.Popen([python, str(file), str(port), network], env=ENVIRONMENT)
    started.append(process)

    def answers() -> bool | None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/").status_code > 0
        except httpx.TransportError:
            return None

    eventually(answers, seconds=60)
    headers = {"j": {"content-type": "application/json"}, "b": {"content-type": "application/octet-stream"}}
    return Target(name, process.pid, port, {"j": "/predict", "b": "/binary"}, headers)


def _body(target: Target, kind: str, x_BF: Any) -> tuple[bytes, dict[str, str]]:
    headers = target.headers[kind]
    if kind == "j":
        return json.dumps({"data": x_BF.astype(float).round(4).tolist()}).encode(), headers
    raw = x_BF.tobytes()
    if target.name != "maas":
        return raw, headers
    tensor = {"name": "x", "shape": list(x_BF.shape), "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    return head + raw, headers | {"inference-header-content-length": str(len(head))}


def _report(case: str, targets: list[Target], sizes: list[int], folder: Path, chosen: argparse.Namespace) -> None:
    found = CASE.fullmatch(case)
    if found is None:
        raise SystemExit(f"not a case: {case}")
    kind, num_rows, connections = found[1], int(found[2]), int(found[3])
    x_BF = np.random.default_rng(1).normal(size=(num_rows, sizes[0])).astype(np.float32)
    rounds: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for _ in range(chosen.rounds):
        for target in targets:
            body, headers = _body(target, kind, x_BF)
            rounds[target.name].append(_measure(target, kind, body, headers, connections, chosen.seconds, folder))
    print(f"{chosen.network} {case}", flush=True)
    for name, measured in rounds.items():
        ratio = statistics.median(a.rate / b.rate for a, b in zip(rounds["maas"], measured, strict=True))
        rate, p50, cpu = (statistics.median(getattr(m, f) for m in measured) for f in ("rate", "p50_ms", "cpu_us"))
        shown = "" if name == "maas" else f"  maas / {name} = {ratio:.2f}"
        print(f"  {name:8s} {rate:9,.0f}/s  p50 {p50:7.2f} ms  {cpu:8.0f} us{shown}", flush=True)


def _measure(
    target: Target, kind: str, body: bytes, headers: dict[str, str], connections: int, seconds: int, folder: Path
) -> Measured:
    (folder / "body").write_bytes(body)
    told = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
    script = folder / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\n{told}local file = io.open("{folder / "body"}", "rb")\nwrk.body = file:read("*a")\n'
    )
    process = psutil.Process(target.pid)
    processes = [process, *process.children(recursive=True)] if target.name != "maas" else [process]
    before = sum(sum(each.cpu_times()[:2]) for each in processes)
    told_by_wrk = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script),
         f"http://127.0.0.1:{target.port}{target.paths[kind]}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cpu = sum(sum(each.cpu_times()[:2]) for each in processes) - before
    if "Non-2xx" in told_by_wrk or "Socket errors" in told_by_wrk:
        raise RuntimeError(f"{target.name}: {told_by_wrk}")
    count = int(_find(r"(\d+) requests in", told_by_wrk)[1])
    number, unit = _find(r"50%\s+([\d.]+)(us|ms|s)", told_by_wrk).groups()
    p50_ms = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return Measured(float(_find(r"Requests/sec:\s+([\d.]+)", told_by_wrk)[1]), p50_ms, cpu / max(1, count) * 1e6)


def _find(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(text)
    return found


if __name__ == "__main__":
    main()
