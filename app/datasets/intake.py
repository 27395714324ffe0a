"""What an upload asks for: the version it will be, and the order to read it."""

from __future__ import annotations

from typing import Any

from app.datasets.ingest import reading
from app.datasets.options import ReadOptions
from app.datasets.receive import Received
from app.datasets.service import Draft

AS_IT_IS = ReadOptions()


def draft(name: str, received: Received, options: ReadOptions = AS_IT_IS) -> Draft:
    """The version that received bytes will be. Raises: UnsupportedMedia, Invalid for what is never read."""
    order = order_to_read(received, options)
    return Draft(
        name=name,
        origin={"operation": "upload", "read": {key: value for key, value in order.items() if key != "operation"}},
        order=order,
        format=order["format"],
        source={"content_type": received.content_type, "filename": received.filename},
    )


def order_to_read(received: Received, options: ReadOptions) -> dict[str, Any]:
    """The order to read received bytes. Raises as `draft`."""
    return reading(
        received.content_type,
        received.filename,
        received.head,
        encoding=received.encoding,
        options=options.model_dump(exclude={"name"}),
    )
