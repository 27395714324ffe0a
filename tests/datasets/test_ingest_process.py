"""The parsing child is held to its limits, and however it ends the client gets a clear answer."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from app import sandbox
from app.datasets import process
from app.datasets.ingest import IngestLimits, ingest
from app.datasets.progress import Progress
from app.errors import Invalid, StorageFull, TooLarge, Unavailable
from tests.datasets.reading import parquet

ROOT = Path(__file__).parents[2]
needs_all_layers = pytest.mark.skipif(
    any(state.startswith("missing") for state in sandbox.available_layers().values()), reason="layers missing"
)


FORGED = '{"answer": {"num_rows": 1, "columns": [], "profile": {}, "details": {}, "sandbox": []}}'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small CSV file under a name full of characters that patterns and shells give a meaning."""
    folder = tmp_path / "in [x]*?'; --"
    folder.mkdir()
    path = folder / "a b.csv"
    path.write_text("species,mass\nAdelie,3750\nGentoo,\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out [y]*"
    path.mkdir()
    return path


@needs_all_layers
def test_a_table_is_read_in_a_full_sandbox(source: Path, folder: Path) -> None:
    table = ingest(source, format="csv", folder=folder, limits=IngestLimits(), sandbox="required")
    assert [layer.partition(":")[0] for layer in table.sandbox] == [
        "no_new_privs",
        "rlimits",
        "landlock",
        "seccomp",
    ]
    assert (table.num_rows, [column["name"] for column in table.columns]) == (2, ["species", "mass"])
    assert table.parquet == folder / "data.parquet"
    assert os.listdir(folder) == ["data.parquet"]


def test_a_refused_file_leaves_nothing_behind(source: Path, folder: Path) -> None:
    source.write_text("a,b\n1\n")
    with pytest.raises(Invalid) as caught:
        ingest(source, format="csv", folder=folder, limits=IngestLimits())
    assert caught.value.code == "dataset-invalid"
    assert caught.value.errors == [{"pointer": "/lines/2", "detail": "has 1 fields where the header has 2"}]
    assert os.listdir(folder) == []


def test_the_parent_imports_neither_engine() -> None:
    code = "import sys, app.datasets.ingest, app.datasets.rows\n"
    code += "print({'duckdb', 'pyarrow', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_wall_clock_limit_ends_the_child(source: Path, folder: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(TooLarge, match=r"took over 0\.05 s"):
        ingest(source, format="csv", folder=folder, limits=IngestLimits(wall_seconds=0.05))
    assert time.monotonic() - begin < 2
    assert os.listdir(folder) == []


def test_the_memory_limit_is_named(folder: Path, source: Path) -> None:
    source.write_text("a,b\n" + "1,2\n" * 1000)
    with pytest.raises(Invalid, match="limit of 40 MiB of memory") as caught:
        ingest(source, format="csv", folder=folder, limits=IngestLimits(memory_bytes=40 << 20))
    assert caught.value.code == "dataset-invalid"


def test_no_room_for_a_thread_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(MemoryError), Progress(io.StringIO()) as progress:
        progress.phase("reading")


def test_a_small_memory_limit_is_enough_for_a_small_table(source: Path, folder: Path) -> None:
    limits = IngestLimits(memory_bytes=128 << 20)
    assert ingest(source, format="csv", folder=folder, limits=limits).num_rows == 2


def test_one_page_that_decodes_to_gigabytes_is_out_of_memory(source: Path, folder: Path) -> None:
    words = pa.array(["x" * 1_000_000]).take(pa.array([0] * 600))
    source.write_bytes(parquet(pa.table({"a": words}), compression="zstd", use_dictionary=False))
    with pytest.raises(Invalid, match="256 MiB of memory"):
        ingest(source, format="parquet", folder=folder, limits=IngestLimits(memory_bytes=256 << 20))


def test_the_size_limit_of_written_files_is_named(source: Path, folder: Path) -> None:
    with pytest.raises(TooLarge, match="over 10 bytes"):
        ingest(source, format="csv", folder=folder, limits=IngestLimits(decoded_bytes=10))


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        ("os.kill(os.getpid(), 9)", Invalid, "1,024 MiB of memory"),
        ("os.abort()", Invalid, "1,024 MiB of memory"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", TooLarge, "240 s of CPU time"),
        ("raise ZeroDivisionError", Invalid, "cannot be read as csv"),
        ("sys.exit(0)", Invalid, "cannot be read as csv"),
        ('print(\'{"error": "memory", "detail": ""}\')', Invalid, "1,024 MiB of memory"),
        ('print(\'{"error": "disk", "detail": ""}\')', StorageFull, "no space left"),
        ('print(\'{"error": "sandbox", "detail": "no layer"}\')', Unavailable, "no layer"),
        ("sys.stderr.write('e' * 10**6); print('not json')", Invalid, "cannot be read as csv"),
        ("print('[1]')", Invalid, "cannot be read as csv"),
        ('print(\'{"error": [], "errors": 5}\')', Invalid, "cannot be read as csv"),
        ("print('{}')", Invalid, "cannot be read as csv"),
        (f"os.symlink('/etc/passwd', 'data.parquet'); print({FORGED!r})", Invalid, "cannot be read as csv"),
        ("sys.stdout.write('x' * (65 << 20))", TooLarge, "description of the table"),
        ("os.fork() or time.sleep(60)", TooLarge, "took over 3 s"),
        ("os.close(1); os.close(2); time.sleep(60)", Invalid, "cannot be read as csv"),
    ],
)
def test_every_end_of_the_child_has_an_answer(
    source: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    error: type[Exception],
    said: str,
) -> None:
    child = source.parent / "child.py"
    child.write_text(f"import os, signal, sys, time\nsys.stdin.read()\n{body}\n")
    monkeypatch.setattr(process, "CHILD", (str(child),))
    monkeypatch.setattr(process, "EXIT_SECONDS", 0.5)
    begin = time.monotonic()
    with pytest.raises(error, match=said):
        ingest(source, format="csv", folder=folder, limits=IngestLimits(wall_seconds=3))
    assert time.monotonic() - begin < 20
    assert os.listdir(folder) == []


def test_the_child_gets_no_environment_and_no_descriptors(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = source.parent / "child.py"
    child.write_text(
        "import json, os\n"
        "ours = {'LC_ALL', 'LC_CTYPE', 'PYTHONPATH', 'TMPDIR', 'ARROW_DEFAULT_MEMORY_POOL', 'DUCKDB_JE_MALLOC_CONF'}\n"
        "names = sorted(set(os.environ) - ours)\n"
        "open_files = sorted(int(name) for name in os.listdir('/proc/self/fd'))[3:-1]\n"
        "leader = os.getpgid(0) == os.getpid()\n"
        "print(json.dumps({'error': 'invalid', 'detail': str([names, open_files, leader]), 'errors': []}))\n"
    )
    monkeypatch.setenv("MAAS_SECRET", "x")
    monkeypatch.setattr(process, "CHILD", (str(child),))
    with source.open() as stream:
        os.set_inheritable(stream.fileno(), True)
        with pytest.raises(Invalid) as caught:
            ingest(source, format="csv", folder=folder, limits=IngestLimits())
    assert caught.value.detail == "[[], [], True]"
