"""How the command line shows what it got: tables and records for people, JSON for programs, complaints on stderr."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Show = Callable[[Any], None]
WIDTH_OF_A_FILE = 200
MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def console(*, stderr: bool = False) -> "Console":
    """Where to draw; what is not a terminal gets wide lines, so that ids stay whole."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH_OF_A_FILE)


def printable(value: Any) -> str:
    """A value as one line of text that cannot steer the terminal."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def as_json(answer: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def table(*columns: str, title: str | None = None) -> Show:
    """A way to show a list of objects: these members of each, `a.b` being member b of member a."""

    def show(items: Sequence[Mapping[str, Any]]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=box.SIMPLE_HEAD)
        for column in columns:
            drawn.add_column(column.replace(".", " ").replace("_", " "), overflow="fold")
        for item in items:
            drawn.add_row(*(Text(printable(member(item, column))) for column in columns))
        if title:
            say(f"\n{title}")
        console().print(drawn)

    return show


def record(*names: str) -> Show:
    """A way to show one object: these members, one a line; what is empty is left out."""

    def show(item: Mapping[str, Any]) -> None:
        shown = {name: member(item, name) for name in names}
        width = max(map(len, names))
        for name, value in shown.items():
            if value not in (None, {}, []):
                print(f"{name.replace('_', ' '):<{width}}  {printable(value)}")

    return show


def member(item: Mapping[str, Any], path: str) -> Any:
    """A member of an object, or of an object inside it; None when there is none."""
    value: Any = item
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def say(text: str) -> None:
    """Print a line of ours."""
    print(text, flush=True)


def complain(text: str, details: Sequence[str] = ()) -> None:
    """Print what went wrong, and where, to standard error."""
    for line in (f"Error: {text}", *(f"  {detail}" for detail in details)):
        print(printable(line), file=sys.stderr, flush=True)
