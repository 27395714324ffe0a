"""Compressed bodies of predictions, decoded as they arrive and never beyond the limit of the body."""

from __future__ import annotations

import zlib

from starlette.types import Message, Receive

from app.errors import Malformed, TooLarge

# What HTTP calls deflate is zlib's format; 16 more bits of window mean gzip's.
WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def decoded(receive: Receive, encoding: str, limit_bytes: int) -> Receive:
    """The messages of a body with their content decoded; others as they are."""
    decoder = zlib.decompressobj(WINDOW_BITS[encoding])
    left_bytes = limit_bytes

    async def receive_decoded() -> Message:
        nonlocal left_bytes
        message = await receive()
        if message["type"] != "http.request":
            return message
        try:
            # One byte more than may be tells a body that is too large, whatever it would grow to.
            body = decoder.decompress(message.get("body", b""), left_bytes + 1)
        except zlib.error:
            raise Malformed(f"The body is not {encoding}, as its Content-Encoding says.") from None
        if len(body) > left_bytes:
            raise TooLarge(f"The decoded body is larger than the {limit_bytes} bytes that this route accepts.")
        left_bytes -= len(body)
        if decoder.unused_data or (not message.get("more_body", False) and not decoder.eof):
            raise Malformed(
                f"The {encoding} of the body ends {'early' if not decoder.eof else 'before the body does'}."
            )
        return {**message, "body": body}

    return receive_decoded
