"""The reference of the prediction benchmark: a plain FastAPI endpoint around an eager network of the same size."""

from __future__ import annotations

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

torch.set_num_threads(1)
COLUMNS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year")
NETWORK = torch.nn.Sequential(
    torch.nn.Linear(18, 128), torch.nn.SiLU(), torch.nn.Linear(128, 128), torch.nn.SiLU(), torch.nn.Linear(128, 3)
).eval()
app = FastAPI()


class Row(BaseModel):
    """A row of the penguins."""

    island: str
    sex: str | None
    bill_length_mm: float
    bill_depth_mm: float
    flipper_length_mm: float
    body_mass_g: float
    year: float


class Rows(BaseModel):
    """The body."""

    rows: list[Row]


@app.post("/predict")
async def predict(body: Rows) -> dict[str, list[dict[str, float]]]:
    """Probabilities of an untrained network: what is timed is the way there and back."""
    numbers = [[getattr(row, name) for name in COLUMNS] + [0.0] * 13 for row in body.rows]
    with torch.inference_mode():
        answers = torch.softmax(NETWORK(torch.tensor(numbers)), dim=1).tolist()
    return {"predictions": [dict(zip(("Adelie", "Chinstrap", "Gentoo"), row, strict=True)) for row in answers]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
