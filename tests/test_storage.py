"""Stored bytes: durable before they are named, checked before they are served, gone only when nothing names them."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from app.durable import write_durably
from app.errors import Corrupt, StorageFull
from app.storage import CHUNK_BYTES, Storage
from tests.system_calls import Calls, Crash, flip

CONTENT = b"some bytes" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty store."""
    return Storage(tmp_path / "store")


def files(folder: Path) -> list[str]:
    """The names of all files in a folder, but for the lock."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_bytes_are_durable_before_their_name_and_the_name_before_the_answer(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    storage.put(CONTENT)
    assert calls.made == ["write", "fsync file", "rename", "fsync folder", "fsync folder"]


def test_bytes_that_are_there_already_are_durable_before_the_answer_as_well(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(CONTENT)
    calls = Calls(monkeypatch)
    storage.put(CONTENT)
    assert calls.made == ["write", "fsync file", "utime", "fsync folder", "fsync folder"]


@pytest.mark.parametrize("fail_at", range(1, 6))
@pytest.mark.parametrize("number", FULL, ids=[errno.errorcode[number] for number in FULL])
def test_a_disk_that_refuses_leaves_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, fail_at: int, number: int
) -> None:
    with monkeypatch.context() as patched:
        Calls(patched, fail_at=fail_at, error=OSError(number, "no"))
        with pytest.raises(StorageFull):
            storage.put(CONTENT)
    assert files(storage.blobs) == files(storage.incoming) == []
    assert storage.read(storage.put(CONTENT).sha256) == CONTENT


@pytest.mark.parametrize("fail_at", range(1, 6))
def test_a_process_that_dies_anywhere_leaves_no_half_blob(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    with monkeypatch.context() as patched:
        Calls(patched, fail_at=fail_at, error=Crash())
        with pytest.raises(Crash):
            storage.put(CONTENT)
    for name in files(storage.blobs):
        assert storage.read(name) == CONTENT
    assert storage.read(storage.put(CONTENT).sha256) == CONTENT


def test_a_failed_fsync_is_not_tried_again(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch, fail_at=2, error=OSError(errno.EIO, "no"))
    with pytest.raises(StorageFull):
        storage.put(CONTENT)
    assert calls.made == ["write", "fsync file"]


def test_blobs_are_named_by_their_digests_only_and_are_for_their_owner_only(storage: Storage) -> None:
    blob = storage.put(CONTENT)
    path = storage.path(blob.sha256)
    assert (blob.sha256, blob.size_bytes) == (DIGEST, len(CONTENT))
    assert path.relative_to(storage.blobs) == Path(DIGEST[:2]) / DIGEST
    assert path.stat().st_mode & 0o777 == 0o600
    for folder in (storage.blobs, storage.incoming, path.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "name", ["", "../" * 3 + "etc/passwd", DIGEST.upper(), DIGEST + "0", DIGEST[:-1], DIGEST + "\n"]
)
def test_nothing_but_a_digest_is_a_path(storage: Storage, name: str) -> None:
    for use in (storage.path, storage.read, storage.verified_path):
        with pytest.raises(ValueError, match="digest"):
            use(name)


@pytest.mark.parametrize("position", [0, 4999, len(CONTENT) - 1])
def test_one_flipped_bit_is_found(storage: Storage, position: int) -> None:
    storage.put(CONTENT)
    flip(storage.path(DIGEST), position)
    for use in (storage.read, storage.verified_path):
        with pytest.raises(Corrupt):
            use(DIGEST)


def test_a_blob_that_is_gone_or_cut_is_corrupt(storage: Storage) -> None:
    storage.put(CONTENT)
    os.truncate(storage.path(DIGEST), 10)
    with pytest.raises(Corrupt):
        storage.read(DIGEST)
    storage.path(DIGEST).unlink()
    for use in (storage.read, storage.verified_path):
        with pytest.raises(Corrupt):
            use(DIGEST)


def test_storing_the_same_bytes_again_heals_a_rotten_file(storage: Storage) -> None:
    storage.put(CONTENT)
    flip(storage.path(DIGEST), 7)
    storage.put(CONTENT)
    assert storage.read(DIGEST) == CONTENT


def test_a_file_is_stored_piece_by_piece(storage: Storage, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(2 * CHUNK_BYTES + 5))
    blob = storage.put_file(big)
    assert storage.verified_path(blob.sha256).read_bytes() == big.read_bytes()
    assert blob.size_bytes == big.stat().st_size


def test_what_was_received_but_not_kept_is_dropped(storage: Storage) -> None:
    with storage.receive() as incoming:
        incoming.write(CONTENT)
        assert len(files(storage.incoming)) == 1
    with pytest.raises(ZeroDivisionError), storage.receive() as incoming:
        incoming.write(CONTENT)
        raise ZeroDivisionError
    assert files(storage.incoming) == files(storage.blobs) == []


def test_a_work_folder_goes_with_all_that_is_in_it(storage: Storage) -> None:
    with storage.work_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"x")
    assert list(storage.incoming.iterdir()) == []


def test_a_sweep_removes_what_is_old_and_not_named(storage: Storage) -> None:
    kept, young, old = (storage.put(bytes([number])).sha256 for number in range(3))
    left = storage.incoming / "left"
    left.write_bytes(b"x")
    folder = storage.incoming / "work-left"
    folder.mkdir()
    (folder / "half.parquet").write_bytes(b"x")
    for path in (storage.path(kept), storage.path(old), left, folder):
        os.utime(path, (1, 1))
    assert storage.sweep({kept}, grace_seconds=60) == 3
    assert set(files(storage.blobs)) == {kept, young}
    assert list(storage.incoming.iterdir()) == []


def test_storing_again_renews_the_grace(storage: Storage) -> None:
    storage.put(CONTENT)
    os.utime(storage.path(DIGEST), (1, 1))
    storage.put(CONTENT)
    assert storage.sweep(set(), grace_seconds=60) == 0


def test_a_sweep_never_takes_what_was_just_stored(storage: Storage) -> None:
    stop, taken = threading.Event(), []

    def sweep() -> None:
        while not stop.is_set():
            storage.sweep(set(), grace_seconds=0.5)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and not taken:
        storage.put(CONTENT)
        try:
            os.utime(storage.path(DIGEST), (1, 1))
        except FileNotFoundError:
            taken.append(time.monotonic())
    stop.set()
    sweeper.join()
    assert taken == []


def test_many_writers_of_the_same_bytes_leave_one_blob(storage: Storage) -> None:
    threads = [threading.Thread(target=storage.put, args=(CONTENT,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(storage.blobs) == [DIGEST]
    assert files(storage.incoming) == []


def test_a_small_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "admin.key"
    write_durably(path, b"old")
    for fail_at in range(1, 5):
        with monkeypatch.context() as patched:
            Calls(patched, fail_at=fail_at, error=OSError(errno.ENOSPC, "no"))
            with pytest.raises(StorageFull):
                write_durably(path, b"new")
        assert path.read_bytes() in (b"old", b"new")
        assert files(tmp_path) == ["admin.key"]
    assert path.stat().st_mode & 0o777 == 0o600
