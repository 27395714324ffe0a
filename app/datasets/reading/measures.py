"""Measure the columns of a stored table in few scans: counts, spread, quantiles, histograms, frequent values.

Up to a million rows everything is exact. Larger tables are scanned once for what one scan can tell exactly
(missing values, minimum, maximum, mean, deviation) and for an estimate of the number of distinct values; quantiles
and histograms come from a sample, which is the same every time: the rows whose number has a certain hash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb

from app.datasets.engine import identifier, literal, rows
from app.datasets.rows import rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
MAX_EXACT_ROWS = 1_000_000
MAX_EXACT_CELLS = 50_000_000
MAX_SAMPLE_ROWS = 200_000
MAX_LOOKED_AT_CHARACTERS = 200
MAX_CELLS_IN_MEMORY = 4_000_000
# A list, unlike a table, cannot be moved to disk while it grows.
MAX_BYTES_OF_LIST = 64 * 2**20
NUM_COLUMNS_AT_ONCE = 100
NUM_COLUMNS_PER_QUERY = 25
CELLS_PER_QUERY = 1_000_000
# Squares of larger numbers overflow; their mean and deviation are left out.
MAX_SQUARABLE = 1e150
# Estimates of distinct values are off by a few percent; a sample without a repetition settles what lies between.
MIN_UNIQUE_SHARE = 0.9


class Detail(NamedTuple):
    """How much is kept of each column."""

    num_bins: int
    num_top: int
    num_examples: int
    max_characters: int


FULL = Detail(num_bins=20, num_top=20, num_examples=5, max_characters=100)
BRIEF = Detail(num_bins=10, num_top=5, num_examples=3, max_characters=40)
MAX_COLUMNS_IN_FULL = 1_000


@dataclass(frozen=True)
class Part:
    """Some columns of a table, known to the engine as c0, c1, … of `stored` and, by its sample, of `sampled`."""

    connection: duckdb.DuckDBPyConnection
    names: list[str]
    stored: list[str]
    num_rows: int
    is_exact: bool
    row_bytes: int
    detail: Detail

    def measured(self) -> list[dict[str, Any]]:
        """What is known of each column, before its type is."""
        # Counting exactly takes memory for every cell, estimates do not.
        at_once = CELLS_PER_QUERY // self.num_rows if self.is_exact else NUM_COLUMNS_PER_QUERY
        step = max(1, min(NUM_COLUMNS_PER_QUERY, at_once))
        positions = list(range(len(self.names)))
        batches = [positions[start : start + step] for start in range(0, len(positions), step)]
        columns = [column for batch in batches for column in self._counted(batch)] if self.is_exact else self._scanned()
        for batch in batches:
            # Of columns with few values the sample would hold next to none; all of them are few enough.
            sparse = {i for i in batch if self.num_rows - columns[i]["num_missing"] <= MAX_SAMPLE_ROWS}
            self._add_distribution("stored", {i: columns[i] for i in sparse})
            self._add_distribution("sampled", {i: columns[i] for i in batch if i not in sparse})
        return columns

    def _counted(self, batch: list[int]) -> list[dict[str, Any]]:
        ends = self._ends(batch)
        return self._columns(batch, ends, rows(self.connection, f"SELECT {self._figures(batch, ends)} FROM stored")[0])

    def _scanned(self) -> list[dict[str, Any]]:
        """The counts of a large table and, as ./sampled, its sample: in one scan, unless the sample is too wide."""
        batch = list(range(len(self.names)))
        cells = ", ".join(f"c{i}" for i in batch)
        most = min(MAX_SAMPLE_ROWS, MAX_CELLS_IN_MEMORY // len(self.names))
        is_sampled = f"hash(number) % {max(1, self.num_rows // most)} = 0"
        if self.row_bytes * most > MAX_BYTES_OF_LIST:
            self._keep_sample(f"SELECT {cells} FROM stored WHERE {is_sampled}")
            return self._counted(batch)
        ends = self._ends(batch)
        row = ", ".join(f"c{i} := c{i}" for i in batch)
        picked = f"list(struct_pack({row}, number := number)) FILTER ({is_sampled}) AS sample"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE scanned AS SELECT {self._figures(batch, ends)}, {picked} FROM stored"
        )
        unnested = "SELECT unnest(sample, recursive := true) FROM scanned"
        # Threads add to the list as they come.
        self._keep_sample(f"SELECT {cells} FROM ({unnested}) ORDER BY number")
        found = rows(self.connection, "SELECT * EXCLUDE (sample) FROM scanned")[0]
        self.connection.execute("DROP TABLE scanned")
        return self._columns(batch, ends, found)

    def _keep_sample(self, query: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE sampled AS {query}")

    def _ends(self, batch: list[int]) -> list[tuple[Any, Any]]:
        """Minimum and maximum of each column; asked for nothing else, the engine finds them in the file's footer."""
        asked = ", ".join(f"{_end('min', i, self.stored[i])}, {_end('max', i, self.stored[i])}" for i in batch)
        found = rows(self.connection, f"SELECT {asked} FROM stored")[0]
        return list(zip(found[::2], found[1::2], strict=True))

    def _figures(self, batch: list[int], ends: Sequence[tuple[Any, Any]]) -> str:
        distinct = "count(DISTINCT c{})" if self.is_exact else "approx_count_distinct(c{})"
        parts = []
        for i, (low, high) in zip(batch, ends, strict=True):
            has_moments = self.stored[i] in ("integer", "real") and low is not None
            has_moments = has_moments and max(abs(low), abs(high)) < MAX_SQUARABLE
            moments = (f"avg(c{i})", f"stddev_samp(c{i})") if has_moments else ("NULL", "NULL")
            parts += [f"count(c{i})", distinct.format(i), *moments]
        return ", ".join(f"{part} AS f{position}" for position, part in enumerate(parts))

    def _columns(
        self, batch: list[int], ends: Sequence[tuple[Any, Any]], figures: Sequence[Any]
    ) -> list[dict[str, Any]]:
        found = iter(figures)
        return [self._column(i, ends[k], *(next(found) for _ in range(4))) for k, i in enumerate(batch)]

    def _column(
        self, i: int, ends: tuple[Any, Any], present: int, distinct: int, mean: float | None, std: float | None
    ) -> dict[str, Any]:
        low, high = ends
        if not self.is_exact and low is not None:
            distinct = 1 if low == high else max(2, distinct)
        return {
            "name": self.names[i],
            "type": self.stored[i],
            "num_missing": self.num_rows - present,
            "num_distinct": min(distinct, present),
            "examples": [],
            "min": low,
            "max": high,
            "mean": _finite(mean),
            "std": _finite(std),
            "quantiles": {},
            "histogram": None,
            "top": [],
            "approximate": not self.is_exact,
        }

    def _add_distribution(self, table: str, columns: dict[int, dict[str, Any]]) -> None:
        """Quantiles and histogram from the cells in `table`; counts are scaled to all cells."""
        if not columns:
            return
        edges = {i: _edges(self.stored[i], column, self.detail) for i, column in columns.items()}
        parts = [part for i in columns for part in self._distribution(i, edges[i])]
        found = iter(rows(self.connection, f"SELECT {', '.join(parts)} FROM {table}")[0])
        for i, column in columns.items():
            looked_at, different, cuts, counts = (next(found) for _ in range(4))
            present = self.num_rows - column["num_missing"]
            if looked_at and different == looked_at and column["num_distinct"] >= MIN_UNIQUE_SHARE * present:
                column["num_distinct"] = present
            quantiles = zip(QUANTILES, cuts or (), strict=False)
            column["quantiles"] = {name: _finite(cut) for name, cut in quantiles}
            if edges[i]:
                scaled = [round(counts[edge] * present / max(1, looked_at)) for edge in sorted(counts)]
                column["histogram"] = {"edges": [plain(edge, self.stored[i]) for edge in edges[i]], "counts": scaled}
            column["min"], column["max"] = (plain(column[end], self.stored[i]) for end in ("min", "max"))

    def _distribution(self, position: int, edges: list[Any]) -> list[str]:
        cell, stored = f"c{position}", self.stored[position]
        cuts = ", ".join(map(str, QUANTILES.values()))
        return [
            f"count({cell})",
            "NULL" if self.is_exact or stored not in ("string", "integer") else f"count(DISTINCT {cell})",
            f"quantile_cont({cell}, [{cuts}])" if stored in ("integer", "real") else "NULL",
            _counts(cell, stored, edges) if edges else "NULL",
        ]

    def add_examples(self, columns: list[dict[str, Any]], num_rows: int) -> None:
        """The first few different values of each column, from the first rows of the table."""
        most = self.detail.max_characters
        cells = ", ".join(_readable(f"c{i}", kind, most) for i, kind in enumerate(self.stored))
        head = rows(self.connection, f"SELECT {cells} FROM stored LIMIT {num_rows}")
        for column, kind, values in zip(columns, self.stored, zip(*head, strict=True), strict=True):
            different = list(dict.fromkeys(value for value in values if value is not None))
            column["examples"] = [plain(value, kind, most) for value in different[: self.detail.num_examples]]

    def different(self, num_rows: int) -> list[list[Any]]:
        """Different strings and integers of each column, none of other columns, from some rows of the sample."""
        cells = ", ".join(
            _readable(f"c{i}", kind, MAX_LOOKED_AT_CHARACTERS) if kind in ("string", "integer") else "NULL"
            for i, kind in enumerate(self.stored)
        )
        head = rows(self.connection, f"SELECT {cells} FROM sampled LIMIT {num_rows}")
        return [list(dict.fromkeys(values)) for values in zip(*head, strict=True)]

    def add_top(self, position: int, column: dict[str, Any], *, exact: bool) -> None:
        """The most frequent values, ties in order; with `exact` all rows are counted, whatever their number."""
        cell, table = f"c{position}", "stored" if exact else "sampled"
        found = rows(
            self.connection,
            f"SELECT {cell}, count(*) AS n, count(*) OVER (), sum(count(*)) OVER () FROM {table} "
            f"WHERE {cell} IS NOT NULL GROUP BY {cell} ORDER BY n DESC, {cell} LIMIT {self.detail.num_top}",
        )
        present = self.num_rows - column["num_missing"]
        most = self.detail.max_characters
        column["top"] = [
            {"value": plain(value, "string", most), "count": round(int(n) * present / int(total))}
            for value, n, _, total in found
        ]
        if exact:
            column["num_distinct"] = int(found[0][2]) if found else 0
            column["approximate"] = False


def open_part(
    connection: duckdb.DuckDBPyConnection,
    parquet: str,
    names: list[str],
    stored: list[str],
    size: tuple[int, int],
) -> Part:
    """Make these columns of a table with `size` rows and columns known to the engine, in memory if they are small."""
    num_rows, num_columns = size
    is_exact = num_rows <= MAX_EXACT_ROWS and num_rows * num_columns <= MAX_EXACT_CELLS
    kind = "TABLE" if num_rows * NUM_COLUMNS_AT_ONCE <= MAX_CELLS_IN_MEMORY else "VIEW"
    file = f"read_parquet({literal(parquet)})"
    # A column of this name hides the reader's own numbers.
    is_hidden = any(name.lower() == "file_row_number" for name in names)
    number = "row_number() OVER ()" if is_hidden else "file_row_number"
    cells = ", ".join(f"{identifier(name)} AS c{i}" for i, name in enumerate(names))
    connection.execute(f"CREATE OR REPLACE TEMP {kind} stored AS SELECT {cells}, {number} AS number FROM {file}")
    if is_exact:
        connection.execute("CREATE OR REPLACE TEMP VIEW sampled AS FROM stored")
    detail = FULL if num_columns <= MAX_COLUMNS_IN_FULL else BRIEF
    row_bytes = 0 if is_exact else _row_bytes(connection, parquet, num_rows)
    return Part(connection, names, stored, num_rows, is_exact, row_bytes, detail)


def _row_bytes(connection: duckdb.DuckDBPyConnection, parquet: str, num_rows: int) -> int:
    """The mean size of a row as it is encoded, over all columns."""
    query = f"SELECT sum(total_uncompressed_size) FROM parquet_metadata({literal(parquet)})"
    return int(rows(connection, query)[0][0]) // num_rows


def _end(function: str, position: int, stored: str) -> str:
    """SQL for the minimum or maximum of a column; NULL where it means nothing."""
    if stored == "datetime":
        return f"epoch_us({function}(c{position}))"
    return f"{function}(c{position})" if stored in ("integer", "real") else "NULL"


def _edges(stored: str, column: dict[str, Any], detail: Detail) -> list[Any]:
    """Edges of bins of one width from minimum to maximum; few different integers get a bin each."""
    low, high, num_bins = column["min"], column["max"], detail.num_bins
    if low is None:
        return []
    if stored == "integer" and high - low < num_bins:
        return [value - 0.5 for value in range(low, high + 2)]
    if stored == "datetime":
        edges = [low + (high - low) * step // num_bins for step in range(num_bins + 1)]
    else:
        # The difference of two numbers may overflow where their weighted sum does not.
        weights = [step / num_bins for step in range(num_bins + 1)]
        edges = [float(low), *(low * (1 - weight) + high * weight for weight in weights[1:-1]), float(high)]
    different = sorted(set(edges))
    return different if len(different) > 1 else [low, high]


def _counts(cell: str, stored: str, edges: list[Any]) -> str:
    """SQL for the number of cells between edges; a cell on an edge is right of it, one on the last left of it."""
    inner = edges[1:-1]
    if stored == "datetime":
        ends = [edge - 1 for edge in inner]
        return f"histogram(epoch_us({cell}), {[*ends, edges[-1]]})"
    ends = [math.nextafter(edge, -math.inf) for edge in inner]
    bounds = ", ".join(f"{end!r}::DOUBLE" for end in [*ends, float(edges[-1])])
    return f"histogram({cell}::DOUBLE, [{bounds}])"


def _readable(cell: str, stored: str, max_characters: int) -> str:
    if stored == "string":
        return f"left({cell}, {max_characters + 1})"
    return f"epoch_us({cell})" if stored == "datetime" else cell


def plain(value: Any, stored: str, max_characters: int = FULL.max_characters) -> Any:
    """A value as plain JSON: moments as RFC 3339, long strings cut, nothing infinite."""
    if stored == "datetime" and value is not None:
        return rfc3339(EPOCH + timedelta(microseconds=value))
    if isinstance(value, str) and len(value) > max_characters:
        return value[: max_characters - 1] + "…"
    return value


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
