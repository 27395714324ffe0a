"""`maas doctor`: whether this machine can run the service, and what to do where it cannot."""

import importlib.metadata
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli_command import DEFAULT_URL, REFUSED, exit_codes
from app.cli_output import MARKS, as_json, console, printable, say

if TYPE_CHECKING:
    from app.settings import Settings

top = typer.Typer()
MIB = 1 << 20
FEW_BYTES, TOO_FEW_BYTES = 2048 * MIB, 256 * MIB
FLOOR = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?.*?[>=]=([0-9.]+)")
TORCH = "import torch; print(f'{torch.__version__}, {torch.get_num_threads()} threads')"
RUNTIME = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime; print(onnxruntime.__version__)"
CHECK_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Finding:
    """What one check found; `advice` says what to do unless the status is ok."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


@top.command()
def doctor(
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Data folder to look at.")] = None,
    url: Annotated[str, typer.Option("--url", help="Address of a running server.")] = DEFAULT_URL,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check libraries, database, data folder, sandbox and training on this machine; exit code 1 if anything fails."""
    with exit_codes():
        findings = list(examine(data_dir, url))
    if json:
        as_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(REFUSED)


def examine(data_dir: Path | None, url: str) -> Iterator[Finding]:
    """All findings, in the order in which one would repair things."""
    from app.settings import SettingsError, load

    yield check_libraries()
    yield check_program("torch", TORCH, "install torch first: pip install torch==2.13.0")
    yield check_program("onnxruntime", RUNTIME, "install the locked versions: make setup")
    yield check_specs()
    try:
        settings = load(data_dir=data_dir)
    except SettingsError as error:
        yield Finding("settings", "fail", str(error), "correct or unset the variable")
        return
    yield Finding("settings", "ok", f"{len(settings.model_fields_set)} set, the others are defaults")
    for check in (check_data_folder, check_disk, check_database, check_sandbox, check_training):
        yield check(settings)
    yield check_server(url)


def check_libraries() -> Finding:
    """Whether Python and every required library are as new as the package asks."""
    low = [] if sys.version_info >= (3, 11) else [f"Python {sys.version.split()[0]}"]
    try:
        requirements = importlib.metadata.requires("maas") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding("libraries", "warn", "the package maas is not installed in this Python", "make setup")
    needed = [match.groups() for each in requirements if "extra ==" not in each and (match := FLOOR.match(each))]
    for name, floor in needed:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            low.append(f"{name} is missing")
            continue
        if _numbers(found) < _numbers(floor):
            low.append(f"{name} {found} is older than {floor}")
    if low:
        return Finding("libraries", "fail", "; ".join(low), "install the locked versions: make setup")
    return Finding("libraries", "ok", f"Python {sys.version.split()[0]}, {len(needed)} libraries new enough")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def check_program(name: str, program: str, advice: str) -> Finding:
    """Whether a library can be imported; in a process of its own, because a broken build kills the one it is in."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=CHECK_TIMEOUT_SECONDS, check=False
    )
    if done.returncode:
        return Finding(name, "fail", (done.stderr.strip().splitlines() or ["it crashed"])[-1], advice)
    return Finding(name, "ok", done.stdout.strip())


def check_specs() -> Finding:
    """Whether the specs that installed packages offer can be used."""
    from app.learning import specs

    offers = specs.offered()
    faults = [f"{offer.name} of {offer.package}: {offer.fault}" for offer in offers if offer.fault]
    if faults:
        return Finding("specs", "warn", "; ".join(faults), "repair, update or uninstall the package; others work")
    told = [f"{offer.name} of {offer.package}" for offer in offers]
    return Finding("specs", "ok", ", ".join(told) or "no package adds any to those of the service")


def check_data_folder(settings: "Settings") -> Finding:
    """Whether the data folder can be written, and by nobody else."""
    folder = settings.data_dir
    if not folder.exists():
        return Finding("data folder", "warn", f"{folder} does not exist yet", "maas serve makes it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("data folder", "fail", f"{folder}: {error.strerror}", "let this user write there")
    for path, mode in ((folder, 0o700), (folder / "admin.key", 0o600)):
        found = stat.S_IMODE(path.stat().st_mode) if path.exists() else mode
        if found & ~mode:
            return Finding("data folder", "warn", f"others may use {path} ({found:04o})", f"chmod {mode:04o} {path}")
    return Finding("data folder", "ok", f"{folder} can be written, by its owner only")


def check_disk(settings: "Settings") -> Finding:
    """Whether there is room."""
    folder = settings.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    status: Literal["ok", "warn", "fail"] = "ok"
    if free < FEW_BYTES:
        status = "warn" if free >= TOO_FEW_BYTES else "fail"
    return Finding("disk", status, f"{free // MIB:,} MiB free", "" if status == "ok" else "make room")


def check_database(settings: "Settings") -> Finding:
    """Whether the database answers, syncs what it acknowledges, and has this version's schema."""
    from app import database

    file = settings.data_dir / "maas.db"
    if settings.database_url is None and not file.exists():
        return Finding("database", "warn", f"{file} does not exist yet", "maas serve makes it")
    try:
        engine = database.connect(settings.url)
        shown = ", ".join(f"{name}={value}" for name, value in database.describe(engine).items())
        current = database.is_current(engine)
    except Exception as error:  # each driver has its own tree of errors, and all of them mean the same here
        return Finding("database", "fail", str(error).splitlines()[0], "check MAAS_DATABASE_URL and the server there")
    if not current:
        return Finding("database", "warn", f"{shown}; the schema is another version's", "maas migrate")
    return Finding("database", "ok", f"{engine.dialect.name}: {shown}")


def check_sandbox(settings: "Settings") -> Finding:
    """Which layers the kernel has to confine children that read uploads or train."""
    from app import sandbox

    layers = sandbox.available_layers()
    missing = {name: reason for name, reason in layers.items() if reason.startswith("missing")}
    if not missing:
        return Finding("sandbox", "ok", ", ".join(layers))
    detail = "; ".join(f"{name} {reason}" for name, reason in missing.items())
    status: Literal["warn", "fail"] = "fail" if settings.sandbox == "required" else "warn"
    return Finding("sandbox", status, detail, "a kernel from 5.13 on with Landlock and seccomp has all layers")


def check_training(settings: "Settings") -> Finding:
    """Whether a training child can be started, confined, and brought to its end, on forty made-up rows."""
    from app import cli_trial as trial

    with tempfile.TemporaryDirectory() as folder:
        try:
            seconds = trial.run(Path(folder), sandbox=settings.sandbox)
        except trial.TrialFailed as error:
            return Finding("training", "fail", str(error), "see the checks above; the training process could not run")
    return Finding("training", "ok", f"a confined child trained and exported a model in {seconds:.1f} s")


def check_server(url: str) -> Finding:
    """Whether a server answers; none is no failure."""
    from app.client import Client, ClientError, Unreachable

    try:
        with Client(url) as client:
            client.get("/readyz")
    except Unreachable:
        return Finding("server", "warn", f"none at {url}", "maas serve starts one")
    except ClientError as error:
        return Finding("server", "fail", f"{url}: {error.detail}", "look at the server's log")
    return Finding("server", "ok", f"{url} is ready")


def _show(findings: list[Finding]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table("check", "", "found", "what to do", box=box.SIMPLE_HEAD)
    for finding in findings:
        texts = (escape(printable(text)) for text in (finding.detail, finding.advice))
        drawn.add_row(finding.check, MARKS[finding.status], *texts)
    console().print(drawn)
    num_failed = sum(finding.status == "fail" for finding in findings)
    say(f"{num_failed} of {len(findings)} checks failed." if num_failed else "This machine can run the service.")
