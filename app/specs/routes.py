"""/v1/specs: the registered specs with their parameters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path

from app.errors import NotFound
from app.learning import specs
from app.learning.spec import Spec, describe
from app.specs.schemas import SpecRead
from app.web.paging import Page, Paging, page
from app.web.routing import allow, router

routes = router("specs")


@routes.get("/v1/specs")
@allow("read")
def list_specs(cursor: Paging) -> Page[SpecRead]:
    """The specs that jobs can name, in alphabetical order."""
    installed = sorted(specs.installed().items())
    rest = [show(spec) for name, spec in installed if cursor.after is None or name > cursor.after]
    return page(rest, cursor, key="name")


@routes.get("/v1/specs/{name}")
@allow("read")
def get_spec(name: Annotated[str, Path(max_length=200, description="Name of a spec.")]) -> SpecRead:
    """One spec: its parameters with types, defaults, ranges and help."""
    found = specs.installed().get(name)
    if found is None:
        raise NotFound("spec", name)
    return show(found)


def show(spec: Spec) -> SpecRead:
    """A spec as clients see it."""
    described: dict[str, Any] = describe(spec)
    return SpecRead(json_schema=described.pop("schema"), **described)
