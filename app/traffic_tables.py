"""The tables of versions in traffic: aliases, where they have pointed, gates and shadows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table
from app.column_types import Id, Name, now


class AliasRow(Table):
    """A name such as champion that points at a version; `revision` is its ETag.

    With a `split` it points at several, {"3": 0.9, "4": 0.1}, and `version` is the one with the greatest weight.
    """

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(["model_id", "version"], ["model_versions.model_id", "model_versions.version"]),
    )
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(Name, primary_key=True)
    version: Mapped[int]
    split: Mapped[dict[str, Any] | None]
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class AliasMoveRow(Table):
    """Where an alias has pointed since a revision: append-only, also over the alias being deleted and made anew.

    `back` is the revision to whose target a rollback returns.
    """

    __tablename__ = "alias_moves"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(Name, primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(String(16))
    version: Mapped[int | None]
    split: Mapped[dict[str, Any] | None]
    back: Mapped[int | None]
    forced: Mapped[bool] = mapped_column(default=False)
    key_id: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=now)


class GateRow(Table):
    """The rules that a version must keep before a guarded alias of the model points at it."""

    __tablename__ = "gates"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    aliases: Mapped[list[Any]]
    rules: Mapped[list[Any]]
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class ShadowRow(Table):
    """A version whose answers are compared with those of an alias, and what was found since it was set.

    `id` tells it from another one at the same place, whose findings may still be on their way.
    """

    __tablename__ = "shadows"
    __table_args__ = (
        ForeignKeyConstraint(["model_id", "version"], ["model_versions.model_id", "model_versions.version"]),
    )
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(Name, primary_key=True)
    id: Mapped[str] = mapped_column(Id)
    version: Mapped[int]
    share: Mapped[float] = mapped_column(Double)
    tally: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
