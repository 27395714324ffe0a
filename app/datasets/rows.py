"""Read pages of rows from a stored table, as plain JSON values, decoding only what lies before them in a row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.blocks import VerifiedFile

ROWS_PER_BATCH = 4_096


def read_rows(
    parquet: Path | VerifiedFile, columns: Sequence[str] | None, *, offset: int, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` rows from the 0-based `offset` on; `columns` None means all of them.

    Missing values are None, moments RFC 3339 in UTC. Raises KeyError for a column the table does not have, and
    Corrupt where the bytes of the page, or of the table's description, are not those that were stored.
    """
    # The API process starts without pyarrow; the first upload or page of rows brings it in.
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(parquet, pre_buffer=False) as file:
        names = list(file.schema_arrow.names if columns is None else columns)
        unknown = set(names) - set(file.schema_arrow.names)
        if unknown:
            raise KeyError(min(unknown))
        groups, skipped = _groups(file.metadata, offset, limit)
        if not groups or not names:
            return []
        page = pyarrow.Table.from_batches(_page(file, groups, names, offset - skipped, limit))
    values = [[_plain(value) for value in page.column(name).to_pylist()] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _page(file: Any, groups: list[int], names: list[str], offset: int, limit: int) -> Iterator[Any]:
    """The rows of the page in batches; decoding ends with the last of them."""
    for batch in file.iter_batches(ROWS_PER_BATCH, row_groups=groups, columns=names, use_threads=False):
        if offset < batch.num_rows:
            part = batch.slice(offset, limit)
            limit -= part.num_rows
            yield part
        offset = max(0, offset - batch.num_rows)
        if limit <= 0:
            return


def prepare() -> None:
    """Import what reading rows needs, a third of a second before somebody waits for it."""
    import pyarrow.parquet  # noqa: F401


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with Z, and with fractions of a second only where it has some."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _groups(metadata: Any, offset: int, limit: int) -> tuple[list[int], int]:
    """The row groups that overlap the page, and the number of rows before the first of them."""
    groups: list[int] = []
    skipped = start = 0
    for group in range(metadata.num_row_groups):
        end = start + metadata.row_group(group).num_rows
        if start < offset + limit and end > offset:
            skipped = skipped if groups else start
            groups.append(group)
        start = end
    return groups, skipped


def _plain(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
