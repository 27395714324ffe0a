"""How a command that asks the server is declared: a function from client to data; options and exit codes come along."""

# Annotations stay objects here and in the files of commands, because typer reads them; and what costs time to import
# (httpx, rich) is imported when a command runs, because `maas --help` and `maas serve` need none of it.
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import cli_output

if TYPE_CHECKING:
    from app.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"
REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

Limit = Annotated[int, typer.Option("--limit", min=1, help="Most items to show.")]
PANEL = "Server"
Url = Annotated[str, typer.Option("--url", help="Address of the server.", rich_help_panel=PANEL)]
Key = Annotated[str | None, typer.Option("--key", help="API key; better kept in a file.", rich_help_panel=PANEL)]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help="File with the key; default: admin.key in MAAS_DATA_DIR or maas-data.", rich_help_panel=PANEL
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=PANEL)]
SERVER_OPTIONS = {
    "url": (Url, DEFAULT_URL),
    "key": (Key, None),
    "key_file": (KeyFile, None),
    "as_json": (AsJson, False),
}


class CommandFailed(Exception):
    """The command cannot do what it was asked to; the message says why and what helps."""

    exit_code = REFUSED


def ask(
    group: typer.Typer, name: str, *, show: cli_output.Show, failure: Callable[[Any], str | None] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a command: its function takes a Client and its own options, and returns what is to be shown.

    `failure` looks at the answer after it is shown, and says why the command failed all the same, if it did.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*, url: str, key: str | None, key_file: Path | None, as_json: bool, **given: Any) -> None:
            with exit_codes(), connect(url, key, key_file) as client:
                answer = function(client, **given)
                (cli_output.as_json if as_json else show)(answer)
                reason = failure(answer) if failure else None
                if reason is not None:
                    raise CommandFailed(reason)

        group.command(name)(_with_options(run, function))
        return function

    return declare


def _with_options(run: Callable[..., None], function: Callable[..., Any]) -> Callable[..., None]:
    own = list(inspect.signature(function).parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in SERVER_OPTIONS.items()
    ]
    functools.update_wrapper(run, function, assigned=("__doc__", "__name__", "__module__"), updated=())
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
    return run


def connect(url: str, key: str | None, key_file: Path | None) -> "Client":
    """A client of this server. Raises: CommandFailed when there is no key."""
    from app.client import Client

    return Client(url, key or read_key(key_file or data_dir() / "admin.key"))


def data_dir() -> Path:
    """The data folder that a server started here would use."""
    return Path(os.environ.get("MAAS_DATA_DIR", "maas-data"))


def read_key(path: Path) -> str:
    """The key in a file. Raises: CommandFailed."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise CommandFailed(
            f"no key in {path} ({error.strerror}): say where it is with --key-file; "
            "the server writes its first one to DATA-DIR/admin.key"
        ) from None


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn expected failures into a complaint and an exit code."""
    from app.client import ClientError, Unreachable

    try:
        yield
    except ClientError as error:
        details = [f"{each['pointer']}: {each['detail']}" for each in error.errors]
        cli_output.complain(f"{error.detail} [{error.code}]", details)
        raise typer.Exit(REFUSED) from None
    except CommandFailed as error:
        cli_output.complain(str(error))
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        cli_output.complain(str(error))
        raise typer.Exit(REFUSED) from None
    except Unreachable as error:
        cli_output.complain(str(error), ["Start one with `maas serve`, or name another with --url."])
        raise typer.Exit(UNREACHABLE) from None


def given(members: dict[str, Any]) -> dict[str, Any]:
    """The members of a request that were given; the server has defaults for the others."""
    return {name: value for name, value in members.items() if value is not None}


def pairs(given: list[str], *, option: str) -> dict[str, Any]:
    """The object that repeated `name=value` and `{json}` arguments describe; values are JSON where they can be."""
    collected: dict[str, Any] = {}
    for text in given:
        if text.startswith("{"):
            collected |= json_object(text, option=option)
            continue
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"'{text}' is neither name=value nor a JSON object", param_hint=option)
        collected[name] = scalar(value, nested=True)
    return collected


def json_object(text: str, *, option: str) -> dict[str, Any]:
    """A JSON object, or the one in the file `@path` names."""
    import json

    try:
        value = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(f"this is not JSON: {error}", param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter("this is JSON, but not an object", param_hint=option)
    return value


def scalar(text: str, *, nested: bool = False) -> Any:
    """The number, true, false or null that the text is in JSON, with `nested` also list or object; else the text."""
    import json

    try:
        value = json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return text
    return value if nested or not isinstance(value, list | dict | str) else text
