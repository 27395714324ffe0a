"""Writes the tables of the reference from the code: `python docs/tables.py`; a test runs it and expects no change."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.cli import app as command_line
from app.datasets.changing.steps import AnyStep
from app.jobs.failures import FAILURES
from app.learning.declared import grammar
from app.learning.policies import CategoryPolicy, ColumnPolicy, NumericPolicy, PreparationParams
from app.learning.splits import Split
from app.main import FEATURES
from app.settings import Settings
from app.studies.schemas import StudyCreate, StudyLimits
from app.web.routing import PolicyRoute

DOCS = Path(__file__).parent
REGION = re.compile(r"(<!-- table: ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MODELS: dict[str, type[BaseModel]] = {
    "numeric": NumericPolicy,
    "category": CategoryPolicy,
    "columns": ColumnPolicy,
    "preparation": PreparationParams,
    "split": Split,
    "study": StudyCreate,
    "study_limits": StudyLimits,
    "network": grammar.Network,
    "embeddings": grammar.Embeddings,
    "category_embedding": grammar.CategoryEmbedding,
    "periodic": grammar.PeriodicEmbedding,
    "piecewise_linear": grammar.PiecewiseLinearEmbedding,
    "dense": grammar.Dense,
    "activation": grammar.ActivationLayer,
    "dropout": grammar.Dropout,
    "residual": grammar.Residual,
}
KINDS = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
SERVER_OPTIONS = frozenset({"--url", "--key", "--key-file", "--json", "--help"})


def main() -> None:
    """Rewrite every region between `<!-- table: name -->` and `<!-- end -->`."""
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        renewed = renew(text)
        if renewed != text:
            path.write_text(renewed)


def renew(text: str) -> str:
    """The text with its tables written anew."""
    return REGION.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)


def table(name: str) -> str:
    """One table by name."""
    kinds = {
        "settings": settings_rows,
        "http": http_rows,
        "cli": cli_rows,
        "steps": step_rows,
        "failures": failure_rows,
    }
    rows = kinds[name]() if name in kinds else model_rows(MODELS[name])
    head, *body = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    lines = [head, tuple("---" for _ in head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def settings_rows() -> Iterator[tuple[str, ...]]:
    """Every setting with its default and bounds."""
    yield "variable", "default", "allowed", "what it does"
    for name, field in Settings.model_fields.items():
        yield f"`MAAS_{name.upper()}`", shown(field.default), allowed(field), field.description or ""


def model_rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Every member of a request object."""
    yield "member", "default", "allowed", "what it does"
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else "" if field.default_factory else shown(field.default)
        yield f"`{name}`", default, allowed(field), field.description or ""


def http_rows() -> Iterator[tuple[str, ...]]:
    """Every route with the scope that its policy asks for."""
    yield "call", "operation", "scope", "what it does"
    for route in (route for router in FEATURES for route in router.routes if isinstance(route, PolicyRoute)):
        summary = (route.endpoint.__doc__ or "").split("\n")[0]
        scope = f"`{route.policy.scope}`" if route.policy.scope else "none"
        for method in sorted(route.methods or ()):
            yield f"`{method} {route.path}`", f"`{route.name}`", scope, summary


def failure_rows() -> Iterator[tuple[str, ...]]:
    """Every code with which jobs fail."""
    yield "code", "when", "next step"
    for code, failure in FAILURES.items():
        yield f"`{code}`", failure.when, failure.next_step


def step_rows() -> Iterator[tuple[str, ...]]:
    """Every step with its members."""
    yield "step", "member", "default", "what it does"
    for model in typing.get_args(typing.get_args(AnyStep)[0]):
        fields = dict(model.model_fields)
        name = fields.pop("op").annotation.__args__[0]
        yield f"`{name}`", "", "", model.__doc__ or ""
        for member, field in fields.items():
            default = "" if field.is_required() else shown(field.default)
            yield "", f"`{member}`", default, field.description or ""


def cli_rows() -> Iterator[tuple[str, ...]]:
    """Every command with its own arguments and options."""
    yield "command", "arguments and options", "what it does"
    for words, command in commands(typer.main.get_command(command_line), "maas"):
        own = [parameter for parameter in command.params if not SERVER_OPTIONS & set(parameter.opts)]
        yield f"`{words}`", " ".join(filter(None, map(usage, own))), (command.help or "").split("\n")[0]


def commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group, with the words that call it."""
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from commands(below, f"{words} {name}")
        else:
            yield f"{words} {name}", below


def usage(parameter: Any) -> str:
    """How one argument or option is written; nothing for hidden ones."""
    if getattr(parameter, "hidden", False):
        return ""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`" if parameter.required else f"[`{parameter.name.upper()}`]"
    return f"`{parameter.opts[0]}`"


def shown(default: object) -> str:
    """A default as one writes it in an environment variable or in JSON."""
    if default is None:
        return "unset"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def allowed(field: FieldInfo) -> str:
    """The type of a field with its bounds, or its choices."""
    choices = list(literals(field.annotation))
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    inside = (field.annotation, *typing.get_args(field.annotation))
    origin = typing.get_origin(field.annotation)
    kind = next((word for type_, word in KINDS.items() if type_ in inside), "object")
    kind = "array" if origin is list else "object" if origin is dict else kind
    bounds = (
        f"{sign} {getattr(item, name):,}"
        for item in field.metadata
        for name, sign in SIGNS.items()
        if hasattr(item, name)
    )
    return ", ".join([kind, *bounds])


def literals(annotation: Any) -> Iterator[Any]:
    """The choices that an annotation names, however deep inside unions."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    else:
        for inside in typing.get_args(annotation):
            yield from literals(inside)


if __name__ == "__main__":
    main()
