"""Exports are written once, checked before they are sent, bounded in bytes, and gone with their table."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.datasets.asking import exports
from app.datasets.asking.exports import Exports, Form
from app.errors import Unavailable
from tests.system_calls import flip

TABLE, OTHER = "a" * 64, "b" * 64
CSV = Form("csv")


@pytest.fixture
def kept(tmp_path: Path) -> Exports:
    return Exports(tmp_path / "exports", 1_000)


class Writer:
    """Writes an export of some size, and counts how often."""

    def __init__(self, size_bytes: int = 100, seconds: float = 0) -> None:
        self.times, self._size_bytes, self._seconds = 0, size_bytes, seconds

    def __call__(self, folder: Path) -> Path:
        self.times += 1
        time.sleep(self._seconds)
        (folder / "export").write_bytes(b"x" * self._size_bytes)
        return folder / "export"


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def together(call: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_export_is_written_once_for_each_table_and_form(kept: Exports) -> None:
    write = Writer()
    found = kept.get(TABLE, CSV, write)
    assert kept.get(TABLE, CSV, write) == found
    assert found.sha256 == hashlib.sha256(b"x" * 100).hexdigest()
    assert write.times == 1
    for table, form in ((OTHER, CSV), (TABLE, Form("csv", formula_safe=False)), (TABLE, Form("ndjson"))):
        kept.get(table, form, write)
    kept.get(TABLE, Form("ndjson", formula_safe=False), write)
    assert write.times == 4


def test_requests_at_the_same_time_share_one_writing(kept: Exports) -> None:
    write = Writer(seconds=0.3)
    together(lambda: kept.get(TABLE, CSV, write))
    assert write.times == 1


def test_who_waits_for_long_is_told_to_come_back(kept: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "WAIT_SECONDS", 0.1)

    def write(folder: Path) -> Path:
        with pytest.raises(Unavailable):
            kept.get(TABLE, CSV, Writer())
        return Writer()(folder)

    kept.get(TABLE, CSV, write)


def test_a_damaged_export_is_written_anew(kept: Exports) -> None:
    write = Writer()
    path = kept.get(TABLE, CSV, write).path
    flip(path, 3)
    assert kept.get(TABLE, CSV, write).path.read_bytes() == b"x" * 100
    assert write.times == 2


def test_a_failed_writing_leaves_nothing(kept: Exports, tmp_path: Path) -> None:
    def write(folder: Path) -> Path:
        (folder / "export").write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.get(TABLE, CSV, write)
    assert [path for path in (tmp_path / "exports").iterdir() if not path.name.startswith(".")] == []


def test_what_was_not_asked_for_the_longest_goes_first(kept: Exports) -> None:
    paths = [kept.get(letter * 64, CSV, Writer(400)).path for letter in "cd"]
    age(paths[0], 1_000)
    age(paths[1], 2_000)
    newest = kept.get("e" * 64, CSV, Writer(400)).path
    assert [path.exists() for path in (*paths, newest)] == [True, False, True]


def test_what_is_being_sent_stays_even_over_the_bound(kept: Exports) -> None:
    paths = [kept.get(letter * 64, CSV, Writer(600)).path for letter in "cd"]
    assert all(path.exists() for path in paths)


def test_exports_go_with_their_table(kept: Exports) -> None:
    mine, other = (kept.get(table, CSV, Writer()).path for table in (TABLE, OTHER))
    kept.forget(TABLE)
    assert (mine.exists(), other.exists()) == (False, True)
    assert kept.sweep({TABLE}) == 1
    assert not other.exists()


def test_what_crashes_left_is_swept_after_a_day(kept: Exports, tmp_path: Path) -> None:
    path = kept.get(TABLE, CSV, Writer()).path
    left = tmp_path / "exports" / "making-1"
    left.mkdir()
    kept.sweep({TABLE})
    assert left.exists()
    for each in (tmp_path / "exports").iterdir():
        age(each, 2 * 86_400)
    kept.sweep({TABLE})
    assert list((tmp_path / "exports").iterdir()) == [path]
