"""What the routes of the Open Inference Protocol read and answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.predictions.protocols.tensors import DATATYPES

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip
Parameters = dict[str, str | float | bool]


class LiveRead(BaseModel):
    """Whether the process answers."""

    live: bool


class ReadyRead(BaseModel):
    """Whether the service can answer inferences."""

    ready: bool


class ServerRead(BaseModel):
    """The server and the extensions it speaks."""

    name: str = Field(examples=["maas"])
    version: str
    extensions: list[str] = Field(examples=[["binary_tensor_data", "model_repository", "statistics"]])


class TensorRead(BaseModel):
    """The name, type and shape of a tensor; -1 is the number of rows."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(examples=[[-1]])


class MetadataRead(BaseModel):
    """A model: one input for each column, by name.

    A model of numbers only also takes one tensor of any other name, [rows, columns], in the order of the inputs.
    """

    name: str
    versions: list[str]
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[TensorRead]
    outputs: list[TensorRead]


class ModelReadyRead(BaseModel):
    """A model that is in memory."""

    name: str
    ready: bool


class InputTensor(BaseModel):
    """A column: as many elements as the shape says, `[rows]` or `[rows, 1]`, or their raw bytes behind the JSON."""

    name: str
    datatype: Datatype = Field(json_schema_extra={"enum": list(DATATYPES)})
    shape: list[int] = Field(min_length=1, max_length=2)
    parameters: Parameters = Field({}, description="`binary_data_size`: length of the raw bytes behind the JSON.")
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """An output to answer with; `binary_data` asks for raw bytes."""

    name: str = Field(examples=["label", "probabilities", "value", "warnings"])
    parameters: Parameters = {}


class InferRequest(BaseModel):
    """Tensors with one row for each answer. Without `outputs` all come, `warnings` if there are any."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {"name": "island", "datatype": "BYTES", "shape": [2], "data": ["Biscoe", "Dream"]},
                        {"name": "bill_length_mm", "datatype": "FP64", "shape": [2], "data": [46.1, None]},
                    ],
                    "outputs": [{"name": "label"}],
                }
            ]
        }
    )

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] | None = None
    parameters: Parameters = Field({}, description="`binary_data_output`: answer all outputs in raw bytes.")


class OutputTensor(TensorRead):
    """An output, its elements flat in row-major order, or raw behind the JSON."""

    parameters: Parameters = {}
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """The outputs of a version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_name": "penguins",
                    "model_version": "1",
                    "id": "req_0193",
                    "outputs": [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["Gentoo", "Adelie"]}],
                }
            ]
        }
    )

    model_name: str
    model_version: str
    id: str = Field(description="The id of the request, or the one in `X-Request-Id`.")
    parameters: Parameters | None = Field(None, description="Where a running job was that `@best` names.")
    outputs: list[OutputTensor]


class IndexRequest(BaseModel):
    """Which versions to list."""

    ready: bool = Field(False, description="Only those that can answer.")


class IndexEntry(BaseModel):
    """A version: READY ones are loaded with the first request, UNAVAILABLE ones have damaged bytes."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(examples=["", "artifact-corrupt"])


class DurationRead(BaseModel):
    """A number of events and the nanoseconds they took together."""

    count: int
    ns: int


class StagesRead(BaseModel):
    """Reading the tensors, answering them, writing the outputs."""

    compute_input: DurationRead
    compute_infer: DurationRead
    compute_output: DurationRead


class InferenceStats(StagesRead):
    """Inferences by how they ended, and where the time of those that succeeded went."""

    success: DurationRead
    fail: DurationRead
    queue: DurationRead


class BatchStats(StagesRead):
    """The stages of inferences with one number of rows; the first 64 different ones are told apart."""

    batch_size: int


class VersionStats(BaseModel):
    """What a version has answered over this protocol, in this process since it started."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 before the first.")
    inference_count: int = Field(description="Rows answered.")
    execution_count: int = Field(description="Requests answered.")
    inference_stats: InferenceStats
    batch_stats: list[BatchStats]


class StatsRead(BaseModel):
    """Statistics of versions."""

    model_stats: list[VersionStats]
