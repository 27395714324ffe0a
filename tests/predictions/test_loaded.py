"""Models in memory: read once, within the budget, never when damaged."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import Corrupt
from app.learning.runtime import Predictor
from app.predictions.loaded import Loadable, LoadedModels
from app.storage import Storage
from tests.trained import ROW, Trained


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty store."""
    return Storage(tmp_path / "store")


@pytest.fixture
def model(storage: Storage, trained: Trained) -> Loadable:
    """A version whose graph is stored."""
    return Loadable("m@1", "model_1", 1, storage.put(trained.graph).sha256, trained.manifest)


def numbered(model: Loadable, version: int) -> Loadable:
    """Another version with the same graph."""
    return Loadable(f"m@{version}", model.model_id, version, model.graph_sha256, model.manifest)


def test_a_model_is_loaded_once_and_found_again(storage: Storage, model: Loadable) -> None:
    loaded = LoadedModels(storage, budget_bytes=10**9)
    assert loaded.find(model) is None
    predictor = loaded.load(model)
    assert loaded.find(model) is loaded.load(model) is predictor
    assert loaded.size_bytes == predictor.size_bytes > 0


def test_many_who_ask_at_once_wait_for_one_who_reads(
    storage: Storage, model: Loadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, reads, start = LoadedModels(storage, budget_bytes=10**9), [], threading.Barrier(8)
    real = Storage.read

    def read(self: Storage, sha256: str) -> bytes:
        reads.append(sha256)
        return real(self, sha256)

    monkeypatch.setattr(Storage, "read", read)

    def ask(_: int) -> Predictor:
        start.wait()
        return loaded.load(model)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(reads) == 1
    assert len({id(predictor) for predictor in found}) == 1


def test_the_least_recently_used_leaves_first(storage: Storage, model: Loadable) -> None:
    size = LoadedModels(storage, budget_bytes=0).load(model).size_bytes
    loaded = LoadedModels(storage, budget_bytes=2 * size)
    first, second, third = (numbered(model, version) for version in (1, 2, 3))
    loaded.load(first)
    loaded.load(second)
    assert loaded.find(first) is not None
    loaded.load(third)
    assert [loaded.find(each) is not None for each in (first, second, third)] == [True, False, True]
    assert loaded.size_bytes <= 2 * size


def test_a_model_over_the_whole_budget_is_served_alone(storage: Storage, model: Loadable) -> None:
    loaded = LoadedModels(storage, budget_bytes=0)
    loaded.load(numbered(model, 1))
    loaded.load(numbered(model, 2))
    assert loaded.find(numbered(model, 1)) is None
    assert loaded.find(numbered(model, 2)) is not None


def test_an_evicted_model_still_answers_who_holds_it(storage: Storage, model: Loadable) -> None:
    loaded = LoadedModels(storage, budget_bytes=0)
    held = loaded.load(model)
    loaded.load(numbered(model, 2))
    assert held.predict_rows([ROW])[0]["warnings"] == []


def test_damaged_bytes_are_not_loaded_and_good_ones_are_afterwards(
    storage: Storage, model: Loadable, trained: Trained
) -> None:
    loaded, path = LoadedModels(storage, budget_bytes=10**9), storage.path(model.graph_sha256)
    os.truncate(path, 100)
    for _ in range(2):
        with pytest.raises(Corrupt):
            loaded.load(model)
    assert loaded.find(model) is None
    storage.put(trained.graph)
    assert loaded.load(model).predict_rows([ROW])


def test_one_models_load_does_not_hold_up_another(storage: Storage, model: Loadable) -> None:
    loaded = LoadedModels(storage, budget_bytes=10**9)
    versions = [numbered(model, version) for version in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        assert len({id(predictor) for predictor in pool.map(loaded.load, versions)}) == 8
