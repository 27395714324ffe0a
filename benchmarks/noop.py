"""The floor of the serving benchmark: a raw ASGI application on the same uvicorn, which computes nothing."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"97")],
}
ANSWER = {"type": "http.response.body", "body": b" " * 97}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the body to its end, then answer as many bytes as a prediction of one row has."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(ANSWER)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, loop="uvloop", lifespan="off")
