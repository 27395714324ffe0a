"""Answers that are server-sent events: who still may read them, and how they are described."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header
from starlette.requests import Request
from starlette.responses import StreamingResponse

from app.errors import MaasError

MEDIA_TYPE = "text/event-stream"
EXAMPLE = "id: 1\nevent: status\ndata: {}\n\n"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}}}
}
Accept = Annotated[str, Header(description=f"`{MEDIA_TYPE}` for a live stream.")]
LastEventId = Annotated[str | None, Header(description="Go on after this event.")]


def still_allowed(request: Request) -> Callable[[], Awaitable[bool]]:
    """A question to ask before each piece: is the key still good, and the server not leaving?"""

    async def ask() -> bool:
        token = request.headers["authorization"].partition(" ")[2].strip()
        try:
            await request.app.state.authenticate(token, request.state.request_id)
        except MaasError:
            return False
        return not request.app.state.leaving.is_set()

    return ask


def respond(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The stream as an answer that no proxy holds back."""
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers={"x-accel-buffering": "no"})
