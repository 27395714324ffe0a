"""The header fields of tus 1.0: what clients send, read strictly, and what the server tells."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from app.digests import check_digest, claimed_sha256
from app.errors import ChecksumMismatch, Invalid, Malformed, PreconditionFailed, TooLarge, UnsupportedMedia
from app.tables import UploadRow

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
ALGORITHMS = ("sha256", "sha1")
OFFSET_TYPE = "application/offset+octet-stream"
MAX_METADATA_BYTES = 8192
NUMBER = re.compile(r"[0-9]{1,18}")
METADATA_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")
Headers = Mapping[str, str]


@dataclass(frozen=True)
class Checksum:
    """What the body of one request shall be, as its client says: the name of the field, algorithm and digest."""

    field: str
    algorithm: str
    digest: bytes

    def check(self, received: bytes) -> None:
        """Raise unless these are the bytes. Raises: ChecksumMismatch, Invalid."""
        if self.field == "content-digest":
            check_digest(self.digest.hex(), received.hex(), field=self.field)
        elif received != self.digest:
            raise ChecksumMismatch("The bytes that arrived are not those of Upload-Checksum; they were dropped.")


def check_version(headers: Headers) -> None:
    """Raise PreconditionFailed unless the client speaks our version."""
    if headers.get("tus-resumable") != VERSION:
        raise PreconditionFailed(
            f"Send the header 'Tus-Resumable: {VERSION}'.", code="tus-version", headers={"Tus-Version": VERSION}
        )


def check_body_type(headers: Headers) -> None:
    """Raise UnsupportedMedia unless the body says that it is a part of a file."""
    if headers.get("content-type", "").lower() != OFFSET_TYPE:
        raise UnsupportedMedia(f"A part of an upload has the header 'Content-Type: {OFFSET_TYPE}'.")


def upload_length(headers: Headers, *, limit_bytes: int) -> int:
    """The size of the file to come. Raises: Malformed, Invalid, TooLarge."""
    if "upload-defer-length" in headers:
        raise _malformed("upload-defer-length", "an upload says its length at once, in Upload-Length")
    size_bytes = _number(headers, "upload-length")
    if not size_bytes:
        raise Invalid("An empty file is no table.", code="dataset-invalid")
    if size_bytes > limit_bytes:
        raise TooLarge(f"The upload is larger than the {limit_bytes} bytes that are accepted (Tus-Max-Size).")
    return size_bytes


def upload_offset(headers: Headers) -> int:
    """Where the body of a request begins in the file. Raises: Malformed."""
    return _number(headers, "upload-offset")


def upload_metadata(headers: Headers) -> dict[str, str]:
    """What the client says of the file. Raises: Malformed."""
    text = headers.get("upload-metadata", "").strip()
    if len(text) > MAX_METADATA_BYTES:
        raise _malformed("upload-metadata", f"it has more than {MAX_METADATA_BYTES} bytes")
    metadata: dict[str, str] = {}
    for pair in text.split(",") if text else []:
        key, _, value = pair.strip().partition(" ")
        if not METADATA_KEY.fullmatch(key) or key in metadata:
            raise _malformed("upload-metadata", "it is no list of different keys with base64 values")
        try:
            metadata[key] = base64.b64decode(value, validate=True).decode()
        except ValueError:
            raise _malformed("upload-metadata", f"the value of '{key}' is not base64 of UTF-8 text") from None
    return metadata


def checksum(headers: Headers) -> Checksum | None:
    """The checksum of the body, if there is one. Raises: Malformed."""
    if "upload-checksum" in headers:
        algorithm, _, value = headers["upload-checksum"].partition(" ")
        if algorithm not in ALGORITHMS:
            raise _malformed("upload-checksum", f"the algorithms are {', '.join(ALGORITHMS)}")
        try:
            digest = base64.b64decode(value, validate=True)
        except ValueError:
            digest = b""
        if len(digest) != hashlib.new(algorithm).digest_size:
            raise _malformed("upload-checksum", f"it is no digest of {algorithm} in base64")
        return Checksum("upload-checksum", algorithm, digest)
    claimed = claimed_sha256(headers, "content-digest")
    return Checksum("content-digest", "sha256", bytes.fromhex(claimed)) if claimed else None


def state_headers(row: UploadRow) -> dict[str, str]:
    """Where an upload stands."""
    told = {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(row.offset_bytes),
        "Upload-Length": str(row.size_bytes),
        "Upload-Expires": format_datetime(row.expires_at, usegmt=True),
    }
    if row.dataset_id is not None:
        told["Content-Location"] = f"/v1/datasets/{row.dataset_id}"
    return told


def _number(headers: Headers, field: str) -> int:
    text = headers.get(field, "")
    if not NUMBER.fullmatch(text):
        raise _malformed(field, "it is no number of bytes" if text else "it is missing")
    return int(text)


def _malformed(field: str, fault: str) -> Malformed:
    detail = f"The header {field} cannot be used: {fault}."
    return Malformed(detail, code="malformed-tus", errors=[{"pointer": f"header:{field}", "detail": detail}])
