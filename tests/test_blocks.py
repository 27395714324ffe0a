"""A page of a large table is served only from blocks that were just compared with their digests."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from app import blocks
from app.blocks import VerifiedFile, block_digests, verified
from app.datasets.rows import read_rows
from app.errors import Corrupt
from app.storage import Storage
from tests.system_calls import flip

BLOCK_BYTES = 1_000
NUM_ROWS = 20_000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", BLOCK_BYTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of seven blocks, the last of them short."""
    path = tmp_path / "file"
    path.write_bytes(bytes(i % 251 for i in range(6 * BLOCK_BYTES + 17)))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table whose row groups lie in blocks of their own; the last 64 KiB are read with the description."""
    path = tmp_path / "data.parquet"
    columns = pa.table({"n": list(range(NUM_ROWS)), "s": [f"row {i}" for i in range(NUM_ROWS)]})
    pyarrow.parquet.write_table(columns, path, row_group_size=5_000, compression="none", use_dictionary=False)
    return path


def page(table: Path, digests: list[str], offset: int) -> list[int]:
    with VerifiedFile(table, digests) as file:
        return [row["n"] for row in read_rows(file, None, offset=offset, limit=3)]


def test_every_read_is_what_the_plain_file_gives(path: Path) -> None:
    with VerifiedFile(path, block_digests(path)) as file, path.open("rb") as plain:
        for offset, size in [(0, 1), (0, -1), (999, 2), (1000, 1000), (5999, 500), (6016, 9), (9000, 5), (17, 4000)]:
            assert file.seek(offset) == plain.seek(offset)
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()
        assert file.seek(-3, os.SEEK_END) == plain.seek(-3, os.SEEK_END)
        assert file.read() == plain.read()
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)


def test_a_flipped_bit_in_any_block_is_found_when_that_block_is_read(path: Path) -> None:
    digests = block_digests(path)
    for block in range(len(digests)):
        flip(path, block * BLOCK_BYTES + 5)
        with VerifiedFile(path, digests) as file:
            for other in range(len(digests)):
                file.seek(other * BLOCK_BYTES + 9)
                if other == block:
                    with pytest.raises(Corrupt):
                        file.read(1)
                else:
                    file.read(1)
        flip(path, block * BLOCK_BYTES + 5)


@pytest.mark.parametrize("size_bytes", [0, 1, BLOCK_BYTES, 6 * BLOCK_BYTES, 6 * BLOCK_BYTES + 16, 9 * BLOCK_BYTES])
def test_a_file_of_another_size_is_corrupt(path: Path, size_bytes: int) -> None:
    digests = block_digests(path)
    os.truncate(path, size_bytes)
    with pytest.raises(Corrupt), VerifiedFile(path, digests) as file:
        file.seek(-1, os.SEEK_END)
        file.read()


def test_a_file_that_is_gone_is_corrupt(path: Path) -> None:
    with pytest.raises(Corrupt):
        VerifiedFile(path.with_name("other"), ["0" * 64])


def test_few_blocks_are_held_in_memory(path: Path) -> None:
    with VerifiedFile(path, block_digests(path)) as file:
        file.read()
        assert len(file._verified) == blocks.NUM_KEPT_BLOCKS


def test_a_page_does_not_depend_on_blocks_it_does_not_lie_in(table: Path) -> None:
    digests = block_digests(table)
    assert page(table, digests, 1) == [1, 2, 3]
    place = table.read_bytes().index(b"row 7500")
    flip(table, place)
    assert page(table, digests, 1) == [1, 2, 3]
    assert page(table, digests, 19500) == [19500, 19501, 19502]
    with pytest.raises(Corrupt):
        page(table, digests, 7500)


@pytest.mark.parametrize("from_end", [1, 9, 200])
def test_a_damaged_description_of_the_table_is_corrupt_for_every_page(table: Path, from_end: int) -> None:
    digests = block_digests(table)
    flip(table, table.stat().st_size - from_end)
    with pytest.raises(Corrupt):
        page(table, digests, 1)


def test_a_blob_without_block_digests_is_compared_as_a_whole(tmp_path: Path, path: Path) -> None:
    storage = Storage(tmp_path / "store")
    blob = storage.put(path.read_bytes())
    with verified(storage, blob.sha256, block_digests(path)) as file:
        assert isinstance(file, VerifiedFile)
    with verified(storage, blob.sha256, []) as whole:
        assert whole == storage.path(blob.sha256)
    flip(storage.path(blob.sha256), 3)
    with pytest.raises(Corrupt), verified(storage, blob.sha256, []):
        pass
