"""A peer of the serving benchmark: a plain FastAPI `async def` endpoint around an eager torch network."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

torch.set_num_threads(1)
sizes = [int(size) for size in sys.argv[2].split("-")]
layers: list[torch.nn.Module] = []
for before, after in pairwise(sizes):
    layers += [torch.nn.Linear(before, after), torch.nn.SiLU()]
NETWORK = torch.nn.Sequential(*layers[:-1]).eval()
app = FastAPI()


class Rows(BaseModel):
    """The body."""

    data: list[list[float]]


@app.post("/predict")
async def predict(body: Rows) -> dict[str, Any]:
    """Probabilities of an untrained network: what is timed is the way there and back."""
    with torch.inference_mode():
        return {"predictions": torch.softmax(NETWORK(torch.tensor(body.data)), dim=1).tolist()}


@app.post("/binary")
async def predict_binary(request: Request) -> dict[str, Any]:
    """The same for rows of raw float32."""
    x_BF = torch.frombuffer(bytearray(await request.body()), dtype=torch.float32).reshape(-1, sizes[0])
    with torch.inference_mode():
        return {"predictions": torch.softmax(NETWORK(x_BF), dim=1).tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
