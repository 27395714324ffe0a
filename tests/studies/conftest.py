"""A stage for studies."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.studies.playing import Stage
from tests.trained import Trained


@pytest.fixture
def stage(app: FastAPI, client: TestClient, trained: Trained, dataset_id: str) -> Stage:
    """The penguins, and nobody who trains."""
    return Stage(app, client, trained, dataset_id)
