"""What the spec routes read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic.types import JsonValue
from pydantic_core import CoreSchema

from app.learning.declared.grammar import MAX_DESCRIPTION, Network
from app.learning.spec import NAME, TrainingParams

NETWORK: dict[str, JsonValue] = {
    "layers": [
        {"type": "dense", "units": 128, "activation": "relu", "normalization": "batch", "dropout": 0.1},
        {
            "type": "residual",
            "layers": [
                {"type": "batch_normalization"},
                {"type": "dense", "units": 256, "activation": "relu", "dropout": 0.2},
                {"type": "dense", "units": 128},
            ],
        },
    ]
}
EMBEDDED: dict[str, JsonValue] = {
    "embeddings": {
        "categories": {"width": 8},
        "numbers": {"type": "piecewise_linear", "bins": 32, "width": 12},
    },
    "layers": [{"type": "dense", "units": 256, "activation": "silu", "dropout": 0.1}],
}


class Described:
    """Gives an object, which the service checks with better pointers, the JSON Schema of the model it must fit."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The model's schema in the place of an object's."""
        return handler(self._model.__pydantic_core_schema__)


class SpecCreate(BaseModel):
    """A spec without code: a network as JSON, and defaults of the training parameters that all specs share."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "wide",
                    "description": "One residual block.",
                    "network": NETWORK,
                    "params": {"learning_rate": 0.003, "epochs": 200},
                },
                {"name": "embedded", "network": EMBEDDED},
            ]
        },
    )

    name: str = Field(pattern=f"^{NAME}$", description="The same name again makes its next version.")
    description: str = Field("", max_length=MAX_DESCRIPTION, description="What it is for, in a sentence or two.")
    network: Annotated[dict[str, Any], Described(Network)] = Field(description="The layers, up to the task's head.")
    params: Annotated[dict[str, Any], Described(TrainingParams)] = Field(
        default_factory=dict, description="Defaults of the training parameters; a job may give others."
    )


class ParameterRead(BaseModel):
    """One parameter, with all that a form needs."""

    name: str
    type: str
    nullable: bool
    default: Any
    minimum: float | None
    maximum: float | None
    choices: list[Any] | None
    level: Literal["basic", "advanced"]
    help: str


class SpecRead(BaseModel):
    """A registered recipe that can be trained; the last four are null unless the project has declared it."""

    name: str
    object: Literal["spec"] = "spec"
    version: int
    reference: str = Field(description="How a job names exactly this version: wide@2.", examples=["wide@2"])
    origin: Literal["built-in", "package", "declared"] = Field(description="Who made it: the service, a package, you.")
    summary: str
    source: str = Field(description="Where the method comes from.")
    tasks: list[str]
    parameters: list[ParameterRead]
    json_schema: dict[str, Any] = Field(description="The parameters as a JSON Schema.")
    network: dict[str, Any] | None = Field(description="The declared network, with what it left to defaults.")
    params: dict[str, Any] | None = Field(description="The declared defaults of parameters.")
    sha256: str | None = Field(description="Digest of the two; jobs and models record it.")
    created_at: datetime | None
