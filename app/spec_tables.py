"""The tables of specs that a project has declared: a name, and its versions, which never change."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table
from app.column_types import Digest, Id, Name, now


class SpecRow(Table):
    """The name of a declared spec; `num_versions` only grows, so a number never means something else."""

    __tablename__ = "specs"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(Name)
    num_versions: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SpecVersionRow(Table):
    """What was declared: the network with all that it leaves to defaults, the parameters that it states."""

    __tablename__ = "spec_versions"
    spec_id: Mapped[str] = mapped_column(ForeignKey("specs.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    description: Mapped[str]
    network: Mapped[dict[str, Any]]
    params: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(Digest)
    created_at: Mapped[datetime] = mapped_column(default=now)
