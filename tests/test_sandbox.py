"""Each layer of the sandbox is proved by a real child that tries what the layer forbids."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from app import landlock, sandbox, seccomp

ROOT = Path(__file__).parent.parent
LAYERS = sandbox.available_layers()
needs_all_layers = pytest.mark.skipif(
    any(state.startswith("missing") for state in LAYERS.values()),
    reason=f"this kernel lacks layers: {LAYERS}",
)
CONFINE = """
import ctypes, os, platform, sys
from pathlib import Path
from app import sandbox, seccomp
{imports}
_, _, clone, clone3 = seccomp.MACHINES[platform.machine()]
folder = Path(sys.argv[1])
layers = sandbox.confine(
    read=[folder / "readable"], write=[folder / "writable"], memory_bytes=1 << 30, file_size_bytes=1 << 20,
    cpu_seconds=20, mode="required", compiles={compiles},
)
"""


ALL_LAYERS = "['landlock', 'no_new_privs', 'rlimits', 'seccomp']"
FOLLOWED_LINK = "os.symlink(folder / 'secret', folder / 'writable' / 'link'); open(folder / 'writable' / 'link')"


def run_confined(folder: Path, body: str, imports: str = "", *, compiles: bool = False) -> str:
    """What a confined child prints; an exception it meets is printed by name."""
    (folder / "readable").mkdir(exist_ok=True)
    (folder / "writable").mkdir(exist_ok=True)
    attempt = f"try:\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\nexcept BaseException as fault:\n"
    code = CONFINE.format(imports=imports, compiles=compiles) + attempt + "    print(type(fault).__name__)\n"
    child = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


@needs_all_layers
@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        ("print(sorted(layer.partition(':')[0] for layer in layers))", ALL_LAYERS),
        ("(folder / 'writable' / 'x').write_text('x'); print((folder / 'writable' / 'x').read_text())", "x"),
        ("print(os.listdir(folder / 'readable'))", "[]"),
        ("print((folder / 'secret').read_text())", "PermissionError"),
        ("print(open('/etc/passwd').read())", "PermissionError"),
        ("(folder / 'readable' / 'x').write_text('x')", "PermissionError"),
        ("(folder / 'x').write_text('x')", "PermissionError"),
        (FOLLOWED_LINK, "PermissionError"),
        ("os.mknod(folder / 'writable' / 'device', 0o20600, 1)", "PermissionError"),
        ("import socket; socket.socket()", "PermissionError"),
        ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError"),
        ("os.execv('/bin/true', ['true'])", "PermissionError"),
        ("import subprocess; subprocess.run(['/bin/true'])", "PermissionError"),
        ("os.kill(os.getppid(), 0)", "PermissionError"),
        ("bytearray(2 << 30)", "MemoryError"),
        ("(folder / 'writable' / 'x').write_bytes(bytes(2 << 20))", "OSError"),
        ("print(ctypes.CDLL(None).unshare(0x10000000))", "-1"),
        ("print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))", "-1"),
        ("print(ctypes.CDLL(None).syscall(clone, 0x10000000 | 17, 0, 0, 0, 0))", "-1"),
        ("print(ctypes.CDLL(None).syscall(clone3, 0, 0))", "-1"),
        ("pid = os.fork() or os._exit(7); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))", "7"),
    ],
)  # fmt: skip
def test_a_confined_child_can_do_what_it_needs_and_nothing_else(tmp_path: Path, attempt: str, answer: str) -> None:
    (tmp_path / "secret").write_text("secret")
    assert run_confined(tmp_path, attempt) == answer


@needs_all_layers
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_a_child_that_compiles_runs_the_compiler_and_nothing_else(tmp_path: Path) -> None:
    body = """
    import subprocess
    os.environ["TMPDIR"] = str(folder / "writable")
    source = folder / "writable" / "seven.cpp"
    source.write_text('#include <cmath>\\nextern "C" int seven() { return std::floor(7.5); }')
    library = folder / "writable" / "seven.so"
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    print(ctypes.CDLL(str(library)).seven())
    for program in ("/bin/true", sys.executable, str(library)):
        try:
            subprocess.run([program], check=False)
        except PermissionError:
            print("refused")
    """
    assert run_confined(tmp_path, body, compiles=True).split() == ["7", "refused", "refused", "refused"]
    assert run_confined(tmp_path, body) == "PermissionError"


@needs_all_layers
def test_threads_started_later_are_confined_too(tmp_path: Path) -> None:
    body = """
    import threading
    def attempt():
        try:
            print(open("/etc/passwd").read())
        except PermissionError:
            print("refused")
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    """
    assert run_confined(tmp_path, body) == "refused"


@needs_all_layers
def test_torch_trains_inside(tmp_path: Path) -> None:
    body = """
    layer = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    torch.nn.functional.mse_loss(layer(torch.ones(2048, 3)), torch.zeros(2048, 1)).backward()
    optimizer.step()
    print("stepped")
    """
    # Building an optimizer imports more of torch, which wants a temporary folder and starts threads; the
    # fork has one thread again, as a training child has.
    imports = "import torch\ntorch.optim.AdamW([torch.zeros(1, requires_grad=True)])\n"
    imports += "if os.fork():\n    os.wait()\n    sys.exit()"
    assert run_confined(tmp_path, body, imports) == "stepped"


@needs_all_layers
def test_duckdb_queries_inside(tmp_path: Path) -> None:
    body = """
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "200MB"})
    print(connection.execute("SELECT count(DISTINCT i % 1000) FROM range(300000) t(i)").fetchall())
    """
    assert run_confined(tmp_path, body, "import duckdb") == "[(1000,)]"


def test_mode_off_applies_nothing() -> None:
    layers = sandbox.confine(read=[], write=[], memory_bytes=1, file_size_bytes=1, mode="off")
    assert layers == []


@needs_all_layers
def test_landlock_counts_as_missing_while_other_threads_run(tmp_path: Path) -> None:
    imports = "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()"
    with pytest.raises(AssertionError, match="'landlock' is missing: other threads"):
        run_confined(tmp_path, "pass", imports)


def test_looking_at_the_layers_confines_nobody() -> None:
    sandbox.available_layers()
    assert Path("/etc/passwd").read_text()
    assert set(LAYERS) == {"no_new_privs", "rlimits", "landlock", "seccomp"}


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    child_code = "import os, sys, time; from app.sandbox import die_with_parent; die_with_parent(int(sys.argv[1]))"
    child_code += "; print(os.getpid(), flush=True); time.sleep(60)"
    parent_code = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child_code!r}, str(os.getpid())])\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _ends(pid)


def test_a_child_whose_parent_is_gone_already_exits() -> None:
    code = "from app.sandbox import die_with_parent; die_with_parent(1 << 22); print('alive')"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert (child.returncode, child.stdout) == (1, b"")


def test_the_filter_allows_what_it_does_not_deny_on_every_machine() -> None:
    for machine in seccomp.MACHINES:
        code = seccomp.assemble(machine)
        assert len(code) % 8 == 0
        assert code.endswith(seccomp.ALLOW.to_bytes(4, "little"))


def test_every_denied_call_has_a_number_of_its_own() -> None:
    for column in range(len(seccomp.MACHINES)):
        numbers = [row[column] for row in seccomp.DENIED.values() if row[column] is not None]
        assert len(numbers) == len(set(numbers))


@needs_all_layers
def test_the_numbers_are_those_of_this_kernel() -> None:
    assert landlock.version() >= 1
    assert seccomp.missing() is None


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_library_folder_is_one_that_packages_were_installed_into_and_holds_nothing_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libraries", "around"):
        (tmp_path / name / "x-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "anything").mkdir()
    monkeypatch.setattr(sys, "path", ["", *(str(tmp_path / name) for name in ("libraries", "anything", "around"))])
    attempt = tmp_path / "around" / "maas-data" / "work"
    assert sandbox.library_folders(hidden=attempt) == [tmp_path / "libraries"]
