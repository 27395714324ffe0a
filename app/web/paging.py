"""Lists, polls and waits: cursors, ETags and `Prefer: wait`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Depends, Header, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from app.errors import Malformed
from app.settings import Settings

Item = TypeVar("Item", bound=BaseModel)
HELD = "`wait=n` holds the answer until the job has ended, or n seconds have passed."
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})\b")


class Page(BaseModel, Generic[Item]):
    """A part of a list; ask on with `?after=<last_id>` while `has_more` is true."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = Field(description="Cursor of the first item.")
    last_id: str | None = Field(description="Cursor of the last item: send it as `after` to go on.")
    has_more: bool


class Cursor(BaseModel):
    """Which part of a list is asked for; lists are newest first unless the route says otherwise."""

    limit: Annotated[int, Query(ge=1, le=1000, description="Most items in one page.")] = 20
    after: Annotated[str | None, Query(max_length=200, description="Cursor of the last item already seen.")] = None


def page(items: Sequence[Item], cursor: Cursor, *, key: str = "id") -> Page[Item]:
    """A page from up to `limit + 1` items: the one too many says that there is more."""
    shown = list(items[: cursor.limit])
    return Page(
        data=shown,
        first_id=str(getattr(shown[0], key)) if shown else None,
        last_id=str(getattr(shown[-1], key)) if shown else None,
        has_more=len(items) > cursor.limit,
    )


async def wait_seconds(
    request: Request, _: Annotated[str | None, Header(alias="prefer", description=HELD)] = None
) -> float:
    """How long the client lets the server hold the request: `Prefer: wait=n`, bounded by a setting."""
    settings: Settings = request.app.state.settings
    found = WAIT.search(", ".join(request.headers.getlist("prefer")))
    return min(float(found[1]), settings.max_wait_seconds) if found else 0.0


def number(text: str | None, *, parameter: str) -> int:
    """A cursor that is a number; 0 is before all. Raises: Malformed naming the parameter."""
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _invalid_cursor(parameter)
    return int(text)


def id_after(cursor: Cursor, pattern: str) -> str | None:
    """A cursor that is an id of this list's kind. Raises: Malformed."""
    if cursor.after is not None and not re.fullmatch(pattern, cursor.after):
        raise _invalid_cursor("after")
    return cursor.after


def _invalid_cursor(parameter: str) -> Malformed:
    detail = "This is not a cursor of this list."
    return Malformed(detail, code="invalid-cursor", errors=[{"pointer": f"query:{parameter}", "detail": detail}])


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has this representation."""
    given = if_none_match or ""
    return etag in {tag.strip().removeprefix("W/") for tag in given.split(",")} or given.strip() == "*"


Wait = Annotated[float, Depends(wait_seconds)]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of the last answer: 304 while nothing changed.")]
Paging = Annotated[Cursor, Query()]
