"""The bytes of an upload on their way in: a raw body or the file of a form, streamed to disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.datasets.form import Form
from app.datasets.names import printable
from app.digests import check_digest, claimed_sha256
from app.durable import Incoming
from app.errors import UnsupportedMedia
from app.storage import Storage
from app.streams import Block, pour

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Received:
    """What is known of an upload before it is read: the names are text, never paths.

    `encoding` is gzip or zstd when the bytes were sent, and are stored, compressed.
    """

    content_type: str | None
    filename: str | None
    head: bytes
    encoding: str | None = None


@asynccontextmanager
async def receiving(storage: Storage) -> AsyncIterator[Incoming]:
    """A place to write bytes whose digest is not known yet; dropping a large file takes a while, so a thread does."""
    with ExitStack() as stack:
        incoming = stack.enter_context(storage.receive())
        try:
            yield incoming
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(stack.pop_all().close)


async def receive(request: Request, incoming: Incoming) -> Received:
    """Write the body, or the part `file` of a form, into `incoming`, durably, and check the digests that were sent.

    Raises: Malformed, Invalid, TooLarge, UnsupportedMedia, StorageFull.
    """
    content_type = request.headers.get("content-type")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if content_type is not None and content_type.lower().startswith("multipart/form-data"):
        return await _receive_form(request, content_type, encoding, incoming)
    claimed = {field: claimed_sha256(request.headers, field) for field in ("content-digest", "repr-digest")}
    head = await _write(request.stream(), incoming)
    for field, sha256 in claimed.items():
        check_digest(sha256, incoming.blob.sha256, field=field)
    return Received(printable(content_type), None, head, None if encoding == "identity" else encoding)


async def _receive_form(request: Request, content_type: str, encoding: str, incoming: Incoming) -> Received:
    if encoding != "identity":
        raise UnsupportedMedia("A form is not read compressed; compress the file inside of it.")
    form, body = Form(content_type), request.stream()
    claimed = claimed_sha256(request.headers, "content-digest")
    if claimed is None:
        head = await _write(form.file(body), incoming)
    else:
        digest = hashlib.sha256()
        head = await _write(form.file(_hashed(body, digest.update)), incoming)
        check_digest(claimed, digest.hexdigest(), field="content-digest")
    return Received(printable(form.content_type), printable(form.filename), head)


async def _write(pieces: AsyncIterator[bytes], incoming: Incoming) -> bytes:
    head = b""

    def write(block: Block) -> None:
        nonlocal head
        if len(head) < HEAD_BYTES:
            head = (head + b"".join(block))[:HEAD_BYTES]
        incoming.write(*block)

    await pour(pieces, write)
    await run_in_threadpool(incoming.sync)
    return head


async def _hashed(body: AsyncIterator[bytes], update: Callable[[bytes], object]) -> AsyncIterator[bytes]:
    async for piece in body:
        update(piece)
        yield piece
