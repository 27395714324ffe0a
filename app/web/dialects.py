"""What wire dialects add to a problem document: their clients look for a failure where their servers put it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field


class ProblemError(BaseModel):
    """One thing that is wrong: `pointer` is a JSON Pointer into the body, or names a parameter."""

    pointer: str = Field(examples=["/params/learning_rate"])
    detail: str = Field(examples=["Input should be greater than 0"])


class ProblemDocument(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(examples=["/problems/validation-failed"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["params.learning_rate: Input should be greater than 0"])
    request_id: str
    errors: list[ProblemError]

    @classmethod
    def schemas(cls) -> dict[str, Any]:
        """Its JSON Schema and those it refers to, as components of an OpenAPI document."""
        own = cls.model_json_schema(ref_template="#/components/schemas/{model}")
        return {**own.pop("$defs"), cls.__name__: own}


class SdkError(BaseModel):
    """The same failure in the shape that SDKs of chat and fine-tuning services read."""

    message: str
    type: str
    param: str | None
    code: str


class Problem(ProblemDocument):
    """Why a request was refused (RFC 9457)."""

    error: SdkError


class InferenceProblem(ProblemDocument):
    """Why a request was refused, for clients of the Open Inference Protocol and of KServe."""

    error: str


class ScoringProblem(ProblemDocument):
    """Why a request was refused, for clients of MLflow's scoring server."""

    error_code: str = Field(examples=["INVALID_PARAMETER_VALUE"])
    message: str


@dataclass(frozen=True)
class Failure:
    """What every dialect tells in its own words."""

    status: int
    code: str
    detail: str
    pointer: str | None


@dataclass(frozen=True)
class Dialect:
    """The document of some routes, and how its own members are drawn."""

    problem: type[ProblemDocument]
    members: Callable[[Failure], dict[str, Any]]


SCORING_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    408: "REQUEST_TIMEOUT",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_LIMIT_EXCEEDED",
    422: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
}


def _sdk(failure: Failure) -> dict[str, Any]:
    kind = "invalid_request_error" if failure.status < 500 else "server_error"
    error = {"message": failure.detail, "type": kind, "param": failure.pointer, "code": failure.code}
    return {"error": error}


def _inference(failure: Failure) -> dict[str, Any]:
    return {"error": failure.detail}


def _scoring(failure: Failure) -> dict[str, Any]:
    fallback = "BAD_REQUEST" if failure.status < 500 else "INTERNAL_ERROR"
    return {"error_code": SCORING_CODES.get(failure.status, fallback), "message": failure.detail}


NATIVE = Dialect(Problem, _sdk)
DIALECTS = (
    (re.compile(r"/v2(?:/.*)?|/v1/models/[^/]+:predict", re.DOTALL), Dialect(InferenceProblem, _inference)),
    (re.compile(r"/invocations|/ping|/version"), Dialect(ScoringProblem, _scoring)),
)


def dialect_of(path: str) -> Dialect:
    """The dialect that clients of a path speak."""
    return next((dialect for paths, dialect in DIALECTS if paths.fullmatch(path)), NATIVE)
