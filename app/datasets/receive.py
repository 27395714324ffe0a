"""The bytes of an upload on their way in: a raw body or the file of a form, streamed to disk."""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.errors import Invalid, Malformed
from app.storage import CHUNK_BYTES, Incoming, disk_faults_are_507

HEAD_BYTES = 4096
MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True)
class Received:
    """What is known of an upload before it is read: the names are text, never paths."""

    content_type: str | None
    filename: str | None
    head: bytes


async def receive(request: Request, incoming: Incoming) -> Received:
    """Write the body, or the part `file` of a multipart body, into `incoming`.

    Raises: Malformed, Invalid, TooLarge, StorageFull.
    """
    content_type = request.headers.get("content-type")
    if (content_type or "").lower().startswith("multipart/"):
        return await _receive_form(request, incoming)
    head, buffer = b"", bytearray()
    async for chunk in request.stream():
        buffer += chunk
        if len(buffer) >= CHUNK_BYTES:
            head = head or bytes(buffer[:HEAD_BYTES])
            await run_in_threadpool(incoming.write, bytes(buffer))
            buffer.clear()
    if buffer:
        head = head or bytes(buffer[:HEAD_BYTES])
        await run_in_threadpool(incoming.write, bytes(buffer))
    return Received(content_type, None, head)


async def _receive_form(request: Request, incoming: Incoming) -> Received:
    try:
        with disk_faults_are_507():
            form = await request.form(max_files=1, max_fields=16)
    except (HTTPException, MultipartParseError) as error:
        detail = getattr(error, "detail", None) or "it cannot be parsed"
        raise Malformed(f"The multipart body is broken: {detail}", code="malformed-multipart") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            detail = "A multipart upload needs a part named 'file' that has a file name."
            raise Invalid(detail, errors=[{"pointer": "/file", "detail": detail}])
        head = b""
        while chunk := await file.read(CHUNK_BYTES):
            head = head or chunk[:HEAD_BYTES]
            await run_in_threadpool(incoming.write, chunk)
        return Received(_text(file.content_type), _text(file.filename), head)
    finally:
        await form.close()


def _text(name: str | None) -> str | None:
    # Names are shown and stored, so they are short and have no control characters; nothing opens them.
    if name is None:
        return None
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:MAX_NAME_CHARACTERS])
