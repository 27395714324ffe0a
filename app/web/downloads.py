"""Stored files as answers: whole, or from one offset on, so that a broken download can be taken up again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from app.digests import digest_field
from app.errors import RangeNotSatisfiable

# Several ranges in one answer help no client of ours; a server may answer them, and broken ones, with the whole.
ONE_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": BINARY},
    206: {"description": "The part that `Range` asked for.", "content": BINARY},
}


class Download(FileResponse):
    """A file whose bytes were just compared with their digest."""

    def __init__(self, path: Path, *, filename: str, sha256: str) -> None:
        self._size_bytes = path.stat().st_size
        digest = digest_field(sha256)
        # The digest of the content is that of the file in whole answers; `__call__` drops it from the others.
        headers = {"etag": f'"{sha256}"', "x-sha256": sha256, "repr-digest": digest, "content-digest": digest}
        super().__init__(path, filename=filename, headers=headers, media_type="application/octet-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = ONE_RANGE.fullmatch(Headers(scope=scope).get("range", ""))
        if wanted is None or (wanted[2] and int(wanted[2]) < int(wanted[1])):
            scope = {**scope, "headers": [field for field in scope["headers"] if field[0] != b"range"]}
        elif int(wanted[1]) >= self._size_bytes:
            raise RangeNotSatisfiable(self._size_bytes)

        async def send_rightly(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] != 200:
                message["headers"] = [field for field in message["headers"] if field[0] != b"content-digest"]
            await send(message)

        await super().__call__(scope, receive, send_rightly)
