"""The closed list of expected failures; the web layer draws each as one problem document.

    MaasError
    ├── Invalid              422  right shape, impossible content
    │   └── Malformed        400  not even the right shape (broken JSON, broken multipart)
    ├── Unauthenticated      401  no key, or not a good one
    ├── Forbidden            403  a good key without the needed scope
    ├── NotFound             404  no such thing, or not yours
    ├── NotAcceptable        406  none of the offered formats
    ├── Conflict             409  name taken, already running, in use
    ├── PreconditionFailed   412  somebody changed it first
    ├── TooLarge             413  over a limit named in settings
    ├── UnsupportedMedia     415  a content type or encoding this route does not read
    ├── RangeNotSatisfiable  416  a part of a file that it does not have
    ├── Locked               423  another request is writing to it
    ├── ChecksumMismatch     460  other bytes arrived than were announced (tus)
    ├── Corrupt              503  stored bytes do not match their digest
    ├── Unavailable          503  no capacity now; try again later
    └── StorageFull          507  no space left to make the write durable

Codes are part of the API; messages are for people. A class is added only with a new status or for a
caller who must tell two apart.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MaasError(Exception):
    """An expected failure: `detail` says what is wrong and what to do, `errors` point into the input."""

    status: ClassVar[int] = 500
    code: str = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = errors or []
        self.headers = headers or {}


class Invalid(MaasError):
    """Right shape, impossible content."""

    status = 422
    code = "validation-failed"
    title = "Invalid request"


class Malformed(Invalid):
    """Bytes that cannot be read as what they claim to be."""

    status = 400
    code = "malformed-request"
    title = "Malformed request"


class Unauthenticated(MaasError):
    """No key, or one that is unknown, revoked or expired: always the same answer."""

    status = 401
    code = "unauthenticated"
    title = "Authentication required"

    def __init__(self) -> None:
        super().__init__(
            "Send a valid API key as 'Authorization: Bearer <key>'.",
            headers={"WWW-Authenticate": 'Bearer realm="maas"'},
        )


class Forbidden(MaasError):
    """A good key that may not do this."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class NotFound(MaasError):
    """No such thing, or one of another project: the answer is the same."""

    status = 404
    code = "not-found"
    title = "Not found"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"There is no {kind} '{key[:64]}' here.")


class NotAcceptable(MaasError):
    """None of the formats the client accepts can be written."""

    status = 406
    code = "not-acceptable"
    title = "Not acceptable"


class Conflict(MaasError):
    """The state of the thing forbids it; trying again changes nothing."""

    status = 409
    code = "conflict"
    title = "Conflict"

    def __init__(self, detail: str, *, code: str | None = None, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail, code=code, errors=errors, headers={"x-should-retry": "false"})


class PreconditionFailed(MaasError):
    """The thing changed since the client read it."""

    status = 412
    code = "precondition-failed"
    title = "Precondition failed"


class TooLarge(MaasError):
    """Over a limit that settings name."""

    status = 413
    code = "too-large"
    title = "Too large"


class UnsupportedMedia(MaasError):
    """A content type or content encoding that this route does not read."""

    status = 415
    code = "unsupported-media-type"
    title = "Unsupported media type"


class RangeNotSatisfiable(MaasError):
    """The range begins behind the end of the file."""

    status = 416
    code = "range-not-satisfiable"
    title = "Range not satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The file has {size_bytes} bytes.", headers={"Content-Range": f"bytes */{size_bytes}"})


class Locked(MaasError):
    """Another request is writing to the thing."""

    status = 423
    code = "locked"
    title = "Locked"


class ChecksumMismatch(MaasError):
    """Other bytes arrived than the client announced; the status is that of the tus protocol."""

    status = 460
    code = "checksum-mismatch"
    title = "Checksum mismatch"


class Corrupt(MaasError):
    """Stored bytes do not match their digest: detected, never served."""

    status = 503
    code = "artifact-corrupt"
    title = "Stored bytes are damaged"


class Unavailable(MaasError):
    """No capacity now."""

    status = 503
    code = "overloaded"
    title = "Unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_seconds: int = 1) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after_seconds)})


class StorageFull(MaasError):
    """The disk refused a durable write; nothing was stored."""

    status = 507
    code = "storage-full"
    title = "Storage is full"
