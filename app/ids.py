"""Identifiers: a prefix that names the kind, then a UUIDv7, so that ids sort by creation."""

from __future__ import annotations

from typing import Literal

from uuid_utils import uuid7

Prefix = Literal["ds", "job", "log", "proj", "ckpt", "model", "shadow", "spec", "study", "upl"]


def new_id(prefix: Prefix) -> str:
    """A new id such as ds_0193f2…; ids of one process sort in the order they were made."""
    return f"{prefix}_{uuid7().hex}"
