"""A thousand models on one server: `python -m benchmarks.many [--models 1000] [--in-memory 50]`.

The models are copies of one small classifier of the penguins under their own names, stored as finished jobs store
them; the server's memory for models holds so many of them. Measured over one connection that stays open:

  cold   the first answer of models that are not in memory: lookup, digest, session, answer
  warm   answers of models that are in memory, in turn, alone
  mixed  the same while another client asks a cold model every 50 ms

The bars are 30 ms for a cold one, and a 99th percentile of the warm ones that the cold ones leave as it was.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx2 as httpx

from app.accounts import service as accounts
from app.accounts.bootstrap import ensure_admin_key
from app.learning.runtime import SESSION_BYTES
from app.main import create_app
from app.principal import Principal
from app.settings import load
from tests.processes import ROOT, Server
from tests.trained import ROW, store_dataset, store_version, train_penguins

PENGUINS = ROOT / "examples" / "penguins.csv"
NUM_WARM, NUM_REQUESTS, NUM_COLD = 20, 4000, 200
PAUSE_SECONDS = 0.05


def main() -> None:
    """Print percentiles in milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many")
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--in-memory", type=int, default=50)
    chosen = parser.parse_args()
    names = [f"m{number}" for number in range(chosen.models)]
    with tempfile.TemporaryDirectory() as folder:
        size_bytes = _store(names, Path(folder))
        server = Server(Path(folder) / "data", {"MAAS_MODEL_CACHE_BYTES": str(chosen.in_memory * size_bytes)}).start()
        try:
            _measure(server, names)
        finally:
            server.end()


def _store(names: list[str], folder: Path) -> int:
    """Store a version for each name; returns what one takes in memory."""
    trained = train_penguins(PENGUINS, folder)
    app = create_app(load(environ={}, data_dir=folder / "data"))
    key = ensure_admin_key(app.state.sessions, folder / "data")
    assert key is not None
    with app.state.read_sessions.begin() as session:
        owner: Principal = accounts.authenticate(session, *accounts.split_token(key))
    dataset_id = store_dataset(app, owner, trained)
    for name in names:
        store_version(app, owner, trained, dataset_id, name)
    app.state.engine.dispose()
    return 2 * len(trained.graph) + SESSION_BYTES


def _measure(server: Server, names: list[str]) -> None:
    warm, cold, more = names[:NUM_WARM], names[NUM_WARM : NUM_WARM + NUM_COLD], names[NUM_WARM + NUM_COLD :]
    _ask(server.http, warm[0])
    _show("cold", [_ask(server.http, name) for name in cold])
    for name in 3 * warm:
        _ask(server.http, name)
    _show("warm", [_ask(server.http, warm[number % NUM_WARM]) for number in range(NUM_REQUESTS)])
    over, loaded = threading.Event(), []

    def load_others() -> None:
        with httpx.Client(base_url=server.url, headers=server.http.headers) as http:
            for name in more:
                if over.wait(PAUSE_SECONDS):
                    return
                loaded.append(_ask(http, name))

    other = threading.Thread(target=load_others)
    other.start()
    mixed = [_ask(server.http, warm[number % NUM_WARM]) for number in range(NUM_REQUESTS)]
    over.set()
    other.join()
    _show("mixed", mixed)
    _show("cold beside warm", loaded)


def _ask(http: httpx.Client, name: str) -> float:
    """How many milliseconds an answer takes."""
    began = time.perf_counter()
    http.post(f"/v1/models/{name}/predict", json={"rows": [ROW]}).raise_for_status()
    return 1000 * (time.perf_counter() - began)


def _show(what: str, took: list[float]) -> None:
    cuts = statistics.quantiles(took, n=100)
    print(f"{what:16s} {len(took):6d} answers   p50 {cuts[49]:7.2f}   p99 {cuts[98]:7.2f}   worst {max(took):7.2f} ms")


if __name__ == "__main__":
    main()
