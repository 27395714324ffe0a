"""The rows of an epoch: all of them, in an order that depends on seed and epoch alone, through a bounded buffer.

Shapes: x_BF holds the number of each row in all of its F inputs.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from app.learning import batches
from app.learning.batches import Data, Order, Shuffled

CPU = torch.device("cpu")


def numbered(num_rows: int, num_inputs: int = 2) -> Data:
    numbers_B = torch.arange(num_rows, dtype=torch.float32)
    return Data(numbers_B[:, None].repeat(1, num_inputs), numbers_B, numbers_B / 2)


def epoch_of(data: Data, seed: int, epoch: int, first: int = 0, batch_size: int = 100) -> list[float]:
    """The rows of an epoch from one on, batch by batch."""
    shuffled = Shuffled(data, seed, batch_size, CPU)
    shuffled.begin(epoch)
    seen: list[float] = []
    for start in range(first, len(data), batch_size):
        part = shuffled.part(start, min(start + batch_size, len(data)))
        assert torch.equal(part.x_BF[:, 0], part.y_B)
        assert part.w_B is not None
        assert torch.equal(part.w_B * 2, part.y_B)
        seen += part.y_B.tolist()
    return seen


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks have 4 rows of 2 float32, and groups 32."""
    monkeypatch.setattr(batches, "BLOCK_BYTES", 32)
    monkeypatch.setattr(batches, "GROUP_BYTES", 256)


@pytest.mark.parametrize("num_rows", [1, 31, 32, 33, 999, 1000])
def test_every_row_comes_once_in_an_epoch(num_rows: int, small_groups: None) -> None:
    seen = epoch_of(numbered(num_rows), 1, 0, batch_size=7)
    assert sorted(seen) == list(range(num_rows))


@pytest.mark.parametrize("num_rows", [30, 1001])
def test_the_order_follows_from_seed_and_epoch_wherever_one_begins(num_rows: int, small_groups: None) -> None:
    data = numbered(num_rows)
    whole = epoch_of(data, 1, 5, batch_size=10)
    assert epoch_of(data, 1, 5, batch_size=10) == whole
    assert epoch_of(data, 1, 5, first=20, batch_size=10) == whole[20:]
    assert epoch_of(data, 1, 6, batch_size=10) != whole
    assert epoch_of(data, 2, 5, batch_size=10) != whole


def test_the_buffer_is_bounded_however_many_rows_there_are(small_groups: None) -> None:
    data = numbered(5000)
    shuffled = Shuffled(data, 1, 10, CPU)
    shuffled.begin(0)
    first = shuffled.part(0, 10).x_BF
    shuffled.part(4000, 4010)
    assert first.untyped_storage().nbytes() == 256
    # The part is in the buffer's own memory, which now holds other rows.
    assert first.tolist() != data.x_BF[Order(1, 0, 5000, 4, 32).between(0, 10)].tolist()


def test_rows_that_lie_sorted_are_mixed_in_every_batch() -> None:
    num_rows = 400_000
    order_B = Order(3, 0, num_rows, 32, 65_536).between(0, num_rows).numpy()
    shares = (order_B[: num_rows // 1000 * 1000].reshape(-1, 1000) < num_rows // 2).mean(axis=1)
    # One batch of 1000 drawn at random deviates by 0.016 as a rule; the worst of 400 by less than 0.07.
    assert abs(shares - 0.5).max() < 0.1
    positions = np.empty(num_rows)
    positions[order_B] = np.arange(num_rows)
    assert abs(np.corrcoef(positions, np.arange(num_rows))[0, 1]) < 0.02


def test_rows_of_a_mapped_file_come_in_long_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAPPED_BLOCK_BYTES", 80)
    monkeypatch.setattr(batches, "MAPPED_GROUP_BYTES", 800)
    np.arange(4000, dtype=np.float32).repeat(2).reshape(-1, 2).tofile(tmp_path / "x")
    x_BF = np.memmap(tmp_path / "x", np.float32, "r+", shape=(4000, 2))
    y_B = torch.arange(4000, dtype=torch.float32)
    data = Data(torch.from_numpy(x_BF), y_B, y_B / 2, x_BF._mmap)
    seen = epoch_of(data, 1, 0, batch_size=100)
    assert sorted(seen) == list(range(4000))
    group = sorted(seen[:100])
    assert sum(after - before == 1 for before, after in pairwise(group)) >= 90
