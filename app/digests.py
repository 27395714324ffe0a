"""Digests in HTTP fields (RFC 9530): what a client says of the bytes it sends, and what the server says of its own."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from app.errors import Invalid, Malformed

# One member of a structured dictionary (RFC 9651) whose value is a byte sequence, with parameters that say nothing.
MEMBER = re.compile(
    r"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=[\w.-]+)?)*[ \t]*"
)
SHA256_BYTES = 32


def digest_field(sha256: str) -> str:
    """The value of a digest field for a SHA-256 in hexadecimal."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def claimed_sha256(headers: Mapping[str, str], field: str) -> str | None:
    """The SHA-256 that a digest field claims, in hexadecimal; None without the field or with other algorithms only.

    Raises: Malformed.
    """
    if field not in headers:
        return None
    claimed = None
    for text in headers[field].split(","):
        member = MEMBER.fullmatch(text)
        value = _decode(member[2]) if member else None
        if member is None or value is None or (member[1] == "sha-256" and len(value) != SHA256_BYTES):
            detail = f"The field {field} is not one of RFC 9530, such as 'sha-256=:<base64>:'."
            raise Malformed(detail, code="malformed-digest", errors=[{"pointer": f"header:{field}", "detail": detail}])
        if member[1] == "sha-256":
            claimed = value.hex()
    return claimed


def check_digest(claimed: str | None, received: str, *, field: str) -> None:
    """Raise Invalid when bytes came whose SHA-256 is not the one that was claimed."""
    if claimed is not None and claimed != received:
        detail = f"The bytes that arrived have the SHA-256 {received}, not the one in {field}; nothing was stored."
        raise Invalid(detail, code="digest-mismatch", errors=[{"pointer": f"header:{field}", "detail": detail}])


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
