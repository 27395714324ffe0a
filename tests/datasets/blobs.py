"""The bytes that a service has in store."""

from __future__ import annotations

from fastapi import FastAPI


def blobs(app: FastAPI) -> set[str]:
    """The digests of all stored blobs."""
    return {path.name for path in app.state.storage.blobs.glob("??/*")}
