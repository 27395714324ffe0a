"""The rules of the architecture as functions over source files; test_architecture.py holds the tree to them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BASE = frozenset({
    "audit", "base_table", "blocks", "chart_axes", "charts", "column_types", "database", "digests", "durable",
    "errors", "following", "garbage", "ids", "landlock", "prediction_tables", "principal", "remembering", "sandbox",
    "seccomp", "settings", "spec_tables", "storage", "streams", "study_tables", "tables", "traffic_tables", "app",
})  # fmt: skip
FEATURES = frozenset(
    ["accounts", "datasets", "jobs", "models", "predictions", "specs", "studies", "traffic", "uploads"]
)
ENTRY_POINTS = frozenset({"main", "worker", "serve", "client", "client_upload"})
ARROWS = {
    ("uploads", "datasets.service"): "a whole upload becomes a data set",
    ("uploads", "datasets.intake"): "and is drafted as any other",
    ("uploads", "datasets.receive"): "from what is known of its bytes",
    ("uploads", "datasets.names"): "under names of one grammar",
    ("uploads", "datasets.options"): "and options, too",
    ("jobs", "datasets.service"): "a job learns from a data set",
    ("jobs", "datasets.making"): "a long upload is read by a job",
    ("jobs", "datasets.process"): "and tells how far it is",
    ("datasets", "jobs.submission"): "a long upload is read by a job",
    ("datasets", "jobs.queue"): "which jobs have ended",
    ("datasets", "models.service"): "what was learned from a data set can go with it",
    ("jobs", "models.service"): "a finished job stores a version",
    ("jobs", "models.reference"): "and says under which name its best weights answer until then",
    ("studies", "datasets.service"): "a study learns from a data set",
    ("studies", "jobs.service"): "its trials are jobs",
    ("studies", "jobs.schemas"): "asked for as any other",
    ("studies", "jobs.queue"): "and steered",
    ("studies", "jobs.journal"): "with a word to their own record",
    ("studies", "models.service"): "the best trial becomes a version",
    ("jobs", "specs.service"): "a job may name a spec that the project has declared",
    ("jobs", "models.evaluation_schemas"): "an evaluation looks the same whoever asked for it",
    ("predictions", "datasets.process"): "files of rows are parsed where uploads are",
    ("predictions", "datasets.limits"): "under limits of the same kind",
    ("traffic", "models.service"): "an alias points at versions of a model",
    ("traffic", "models.reference"): "under a name of one grammar",
    ("traffic", "models.routes"): "below the path of the model",
    ("traffic", "jobs.evaluation_service"): "a gate compares two versions in an evaluation job",
    ("traffic", "jobs.evaluation_schemas"): "asked for as any other",
    ("traffic", "jobs.queue"): "until it has ended",
    ("traffic", "jobs.watch"): "and waited for",
    ("traffic", "predictions.service"): "a gate measures the time of the predictor that will answer",
    ("predictions", "models.calls"): "a tensor for each column, as the card shows it",
    ("predictions", "models.service"): "a prediction is the answer of a version",
    ("predictions", "models.reference"): "every route and dialect names models by one grammar",
}
USES_DATABASE = {
    "studies.journal": "events of studies",
    "studies.trials": "every change of a trial",
    "studies.planning": "finds the spec that a study names",
    "studies.pruning": "what other trials reported",
    "studies.steering": "what jobs have done, what the owner asked for",
    "studies.starting": "counts what runs",
    "studies.showing": "counts trials, finds the best, in a transaction of its own for what lists leave out",
    "studies.steward": "opens the transactions of studies",
    "studies.external": "asked and told inside the transaction of a request",
    "tables": "the schema",
    "base_table": "what its tables share",
    "study_tables": "the part of it that studies need",
    "spec_tables": "the part of it that declared specs need",
    "prediction_tables": "the part of it that predictions need",
    "traffic_tables": "the part of it that versions in traffic need",
    "column_types": "types of its columns",
    "database": "engine and sessions",
    "audit": "written inside the transaction of the change",
    "health": "readiness asks the database, metrics count jobs",
    "jobs.queue": "every change of a job's status",
    "jobs.journal": "events, checkpoints and logs of jobs",
    "jobs.curves": "the points of curves of jobs",
    "jobs.watch": "events and new points in one look",
    "jobs.attempt": "asks what is wanted of its job; tells a busy database from a fault of the job",
    "jobs.estimates": "estimates are rows that come and go with a request",
    "jobs.reproducing": "reads what the training that is repeated has left",
    "jobs.submission": "inserting a job queues it",
    "datasets.lineage": "what was made from what",
    "garbage": "what the database names",
    "worker": "opens the transactions of its jobs",
    "predictions.describing": "finds what a reference means",
    "predictions.drift": "reads logged rows and the profile of a data set",
    "accounts.authenticator": "a busy database must not refuse a good key",
    "accounts.bootstrap": "the first key, before there is anybody to ask",
    "web.routing": "the transaction of a request",
    "web.idempotency": "the answer is stored with the thing",
    "web.problems": "a database that does not answer is 503",
}
WRITES_FILES = {
    "uploads.part": "the bytes of an upload until it is whole",
    "durable": "the durable write path",
    "storage": "names what was written by it",
    "serve": "the lock file has no content",
    "cli_demo": "the demo's own log and address",
    "cli_trial": "the order of one trial run, in a folder of its own",
    "datasets.asking.exports": "exports that can always be written again, in a folder of their own",
    "datasets.process": "hands the child its order, in the folder of one piece of work",
    "datasets.reading.compressed": "decompresses into the folder of one ingest, in the sandbox",
    "datasets.reading.json_rows": "copies good lines into the folder of one ingest, in the sandbox",
    "datasets.changing.appending": "sets the new rows aside, in the folder of one piece of work, in the sandbox",
    "datasets.reading.delimited": "transcodes into the folder of one ingest, in the sandbox",
    "jobs.executors.child": "a training child writes into its attempt folder only",
    "jobs.executors.local": "the log of an attempt, in the attempt's folder",
    "jobs.training": "the order of an attempt, in the attempt's folder",
    "learning.weights": "writes where its caller says",
    "learning.snapshots": "the best weights so far, in the attempt folder; the worker stores a copy",
    "learning.evaluating": "its document in the attempt folder; the worker stores a copy",
    "learning.batch": "blocks of answers in the attempt folder; the worker stores copies",
    "learning.train": "results in the attempt folder; the worker stores copies",
}
BANNED_MODULES = frozenset(["pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "multiprocessing"])
BANNED_CALLS = frozenset(
    ["eval", "exec", "compile", "torch.load", "yaml.load", "tempfile.mktemp", "os.system", "os.popen"]
)
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root of the tree, and its text."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        """Its name below `app`, such as jobs.queue; the package itself is `app`."""
        parts = [part for part in self.path.with_suffix("").parts[1:] if part != "__init__"]
        return ".".join(parts) or "app"

    @property
    def feature(self) -> str:
        """The first word of its name."""
        return self.module.partition(".")[0]

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Full names of what it imports, wherever in the file."""
        found: list[str] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        return tuple(found)

    @property
    def ours(self) -> Iterator[str]:
        """What it imports from app, as names below app."""
        for name in self.imports:
            if name.startswith("app.") and name != "app.__version__":
                yield name.removeprefix("app.")

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Every call with the dotted name that is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node, ast.unparse(node.func)


Rule = Callable[[Source], Iterator[str]]


def sources(root: Path, *folders: str) -> list[Source]:
    """The Python files in folders of a tree."""
    found = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return [Source(path.relative_to(root), path.read_text()) for path in found]


def learning_stands_alone(source: Source) -> Iterator[str]:
    """learning imports nothing of ours, and no framework."""
    if source.feature == "learning":
        yield from (f"imports app.{name}" for name in source.ours if not name.startswith("learning"))
        yield from (f"imports {n}" for n in source.imports if n.split(".")[0] in {"fastapi", "starlette", "sqlalchemy"})


def base_files_know_no_feature(source: Source) -> Iterator[str]:
    """Base files and the web import base files only."""
    if source.feature in BASE | {"web"}:
        allowed = BASE | ({"web"} if source.feature == "web" else frozenset())
        yield from (f"imports app.{name}" for name in source.ours if name.partition(".")[0] not in allowed)


def features_follow_arrows(source: Source) -> Iterator[str]:
    """A feature imports another one only along an arrow that has a reason."""
    if source.feature not in FEATURES:
        return
    for name in source.ours:
        to, _, rest = name.partition(".")
        arrow = f"{to}.{rest.partition('.')[0]}"
        if to in FEATURES - {source.feature} and (source.feature, arrow) not in ARROWS:
            yield f"imports app.{name}, along no arrow"


def nobody_imports_entry_points(source: Source) -> Iterator[str]:
    """main, worker, serve and the command line are imported by each other only."""
    if source.feature not in ENTRY_POINTS and not source.feature.startswith("cli"):
        for name in source.ours:
            to = name.partition(".")[0]
            if to in ENTRY_POINTS or to.startswith("cli"):
                yield f"imports app.{name}"


def only_edges_import_the_web(source: Source) -> Iterator[str]:
    """app.web is for routes, main, serve and health."""
    is_edge = source.path.stem.endswith("routes") or source.feature in {"main", "serve", "health", "web"}
    if not is_edge:
        yield from (f"imports app.{name}" for name in source.ours if name.partition(".")[0] == "web")


def only_edges_import_fastapi(source: Source) -> Iterator[str]:
    """fastapi is for routes, web, main and health."""
    if not source.path.stem.endswith("routes") and source.feature not in {"main", "health", "web"}:
        yield from (f"imports {name}" for name in source.imports if name.partition(".")[0] == "fastapi")


def only_learning_imports_torch(source: Source) -> Iterator[str]:
    """torch is for learning, and what runs learning in a child."""
    if source.feature != "learning" and source.module != "jobs.executors.launcher":
        yield from (f"imports {name}" for name in source.imports if name.partition(".")[0] == "torch")


def only_some_use_the_database(source: Source) -> Iterator[str]:
    """sqlalchemy is for services, routes and a reviewed list."""
    if not source.path.stem.endswith(("service", "routes")) and source.module not in USES_DATABASE:
        yield from (f"imports {name}" for name in source.imports if name.partition(".")[0] == "sqlalchemy")


def files_say_what_they_are_for(source: Source) -> Iterator[str]:
    """Every file begins with a docstring that is a sentence or two."""
    if not (ast.get_docstring(source.tree) or "").strip():
        yield "has no docstring"


def files_and_functions_are_short(source: Source) -> Iterator[str]:
    """A file has at most 300 lines, a function at most 40."""
    num_lines = len(source.text.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield f"has {num_lines} lines"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {num_lines} lines"


def nothing_is_unpickled_or_evaluated(source: Source) -> Iterator[str]:
    """No pickle in any dress, no evaluated text, no shell."""
    yield from (f"imports {name}" for name in source.imports if name.partition(".")[0] in BANNED_MODULES)
    for call, name in source.calls():
        if name in BANNED_CALLS:
            yield f"line {call.lineno}: calls {name}"
        true = {keyword.arg for keyword in call.keywords if ast.unparse(keyword.value) == "True"}
        if true & {"allow_pickle", "shell"}:
            yield f"line {call.lineno}: {name} with {true & {'allow_pickle', 'shell'}}"


def only_storage_writes_files(source: Source) -> Iterator[str]:
    """Files are made and renamed by storage.py, and by a reviewed list."""
    if source.module in WRITES_FILES:
        return
    for call, name in source.calls():
        arguments = [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        arguments += [k.value.value for k in call.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
        opens = name.rpartition(".")[2] in {"open", "fdopen"} and any(set("wax+") & set(a[:3]) for a in arguments[-1:])
        moves = name in {"os.rename", "os.replace", "shutil.move", "shutil.copy", "shutil.copyfile"}
        writes = name.rpartition(".")[2] in {"write_text", "write_bytes", "rename"}
        if opens or moves or writes or "O_CREAT" in ast.unparse(call):
            yield f"line {call.lineno}: {name} writes a file"


def decisions_rest_on_the_matched_route(source: Source) -> Iterator[str]:
    """request.url is rebuilt from what the client wrote in Host; nothing may rest on it."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"request.url", "request.base_url"}:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def checks_are_not_asserts(source: Source) -> Iterator[str]:
    """An assert vanishes under python -O."""
    yield from (f"line {node.lineno}: assert" for node in ast.walk(source.tree) if isinstance(node, ast.Assert))


def commits_are_durable(source: Source) -> Iterator[str]:
    """synchronous=NORMAL loses acknowledged writes."""
    flat = source.text.lower().replace(" ", "")
    if "synchronous=normal" in flat or "synchronous_commit=off" in flat or "synchronous=off" in flat:
        yield "weakens synchronous"
