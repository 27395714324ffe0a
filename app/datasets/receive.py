"""The bytes of an upload on their way in: a raw body or the file of a form, streamed to disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.datasets.form import Form
from app.storage import CHUNK_BYTES, Incoming

HEAD_BYTES = 4096
MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True)
class Received:
    """What is known of an upload before it is read: the names are text, never paths."""

    content_type: str | None
    filename: str | None
    head: bytes


async def receive(request: Request, incoming: Incoming) -> Received:
    """Write the body, or the part `file` of a form, into `incoming`.

    Raises: Malformed, Invalid, TooLarge, StorageFull.
    """
    content_type = request.headers.get("content-type")
    if content_type is None or not content_type.lower().startswith("multipart/form-data"):
        return Received(_text(content_type), None, await _write(request.stream(), incoming))
    form = Form(content_type)
    head = await _write(form.file(request.stream()), incoming)
    return Received(_text(form.content_type), _text(form.filename), head)


async def _write(pieces: AsyncIterator[bytes], incoming: Incoming) -> bytes:
    head, buffer = b"", bytearray()
    async for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK_BYTES:
            head = head or bytes(buffer[:HEAD_BYTES])
            await run_in_threadpool(incoming.write, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(incoming.write, bytes(buffer))
    return head or bytes(buffer[:HEAD_BYTES])


def _text(name: str | None) -> str | None:
    # Names are shown and stored, so they are short and have no control characters; nothing opens them.
    if name is None:
        return None
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:MAX_NAME_CHARACTERS])
