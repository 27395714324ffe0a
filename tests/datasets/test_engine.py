"""The parsing engine reaches one file and its working folder, and cannot be talked out of it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from app.datasets import engine


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> duckdb.DuckDBPyConnection:
    (tmp_path / "folder").mkdir()
    (tmp_path / "sent.csv").write_text("a\n1\n")
    (tmp_path / "other.csv").write_text("a\n2\n")
    monkeypatch.chdir(tmp_path / "folder")
    Path("source").symlink_to(tmp_path / "sent.csv")
    Path("astray").symlink_to(tmp_path / "other.csv")
    return engine.connect([tmp_path / "sent.csv"], 100 << 20)


def test_the_source_is_read_and_the_folder_written(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("COPY (SELECT a FROM read_csv('source')) TO 'x.parquet' (FORMAT parquet)")
    assert engine.rows(connection, "SELECT a FROM read_parquet('x.parquet')") == [(1,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('../other.csv')",
        "SELECT * FROM read_csv('astray')",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '../x.parquet' (FORMAT parquet)",
        "ATTACH '../x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET memory_limit = '1GB'; SET lock_configuration = false",
    ],
)
def test_everything_else_is_refused(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(duckdb.Error):
        connection.execute(query)


@pytest.mark.parametrize("name", ["a", 'say "x"', "it's", "x; DROP TABLE t", "ключ"])
def test_names_and_strings_are_quoted(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    query = f"SELECT {engine.literal(name)} AS {engine.identifier(name)}"
    assert engine.rows(connection, query) == [(name,)]
    assert connection.execute(query).description[0][0] == name
