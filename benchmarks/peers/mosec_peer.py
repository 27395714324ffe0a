"""A peer of the serving benchmark: mosec (pip install mosec torch msgspec), one worker, batches of what waits."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import msgspec
import torch
from mosec import Server, Worker

torch.set_num_threads(1)
PORT, NETWORK = sys.argv[1], [int(size) for size in sys.argv[2].split("-")]


class Predict(Worker):
    """Rows of JSON, as many requests at a time as wait, through an eager network."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for before, after in pairwise(NETWORK):
            layers += [torch.nn.Linear(before, after), torch.nn.SiLU()]
        self.network = torch.nn.Sequential(*layers[:-1]).eval()

    def deserialize(self, data: bytes) -> Any:
        """The rows of a request."""
        return torch.tensor(msgspec.json.decode(data)["data"], dtype=torch.float32)

    def serialize(self, data: Any) -> bytes:
        """Its probabilities."""
        return msgspec.json.encode({"predictions": data})

    def forward(self, data: Any) -> Any:
        """All rows of a batch at once."""
        with torch.inference_mode():
            answers = torch.softmax(self.network(torch.cat(data)), dim=1)
        return [part.tolist() for part in answers.split([len(rows) for rows in data])]


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "--port", PORT, "--timeout", "20000", "--log-level", "error"]
    server = Server()
    server.append_worker(Predict, num=1, max_batch_size=64, max_wait_time=1, route="/predict")
    server.run()
