"""The drift of a version: logged rows against the profile of the data set that it was trained on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.column_types import now
from app.errors import Conflict
from app.learning import drift as measuring
from app.prediction_tables import LoggedRow
from app.predictions.drift_schemas import ColumnDriftRead, DriftRead
from app.tables import DatasetRow, ModelVersionRow

# The newest so many rows of the window are looked at.
MAX_ROWS = 50_000
# Versions whose figures are repeated as metrics.
MOST_VERSIONS = 256


def measure(session: Session, version: ModelVersionRow, reference: str, *, hours: float) -> DriftRead:
    """Compare what a version was asked and answered lately with its training data.

    Raises: Conflict when that was deleted: there is nothing to compare with.
    """
    dataset = session.get(DatasetRow, version.dataset_id) if version.dataset_id is not None else None
    if dataset is None:
        raise Conflict("The data set that this version was trained on was deleted; nothing is left to compare with.")
    since = now() - timedelta(hours=hours)
    rows = _rows(session, version, since)
    columns = {column["name"]: column for column in dataset.columns}
    target = version.manifest["target"]["name"]
    inputs = [each["name"] for each in version.manifest["inputs"] if each["name"] in columns]
    return DriftRead(
        model=reference,
        dataset=dataset.id,
        since=since,
        num_rows=len(rows),
        columns=[
            ColumnDriftRead.model_validate(
                measuring.measure(columns[name], dataset.num_rows, [asked.get(name) for asked, _ in rows])
            )
            for name in inputs
            if any(name in asked for asked, _ in rows)
        ],
        output=ColumnDriftRead.model_validate(
            measuring.measure(columns[target], dataset.num_rows, [_answer(told) for _, told in rows])
        )
        if target in columns
        else None,
    )


def _rows(session: Session, version: ModelVersionRow, since: datetime) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    query = (
        select(LoggedRow.inputs, LoggedRow.output)
        .where(LoggedRow.model_id == version.model_id, LoggedRow.version == version.version)
        .where(LoggedRow.created_at >= since)
        .order_by(LoggedRow.id.desc())
        .limit(MAX_ROWS)
    )
    return [(asked, told) for asked, told in session.execute(query)]


def _answer(told: dict[str, Any]) -> object:
    return told.get("value", told.get("label"))


class Drifts:
    """The last figures of each version that somebody has asked this process for, as metrics of their project."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], DriftRead] = OrderedDict()

    def keep(self, project_id: str, found: DriftRead) -> None:
        """Remember figures, and forget those asked for the longest ago if they are too many."""
        with self._lock:
            self._known.pop((project_id, found.model), None)
            self._known[project_id, found.model] = found
            if len(self._known) > MOST_VERSIONS:
                self._known.popitem(last=False)

    def families(self, project_id: str) -> Iterator[Metric]:
        """The metrics of a project's versions."""
        with self._lock:
            mine = [found for (owner, _), found in self._known.items() if owner == project_id]
        inputs = GaugeMetricFamily("maas_drift_psi", "Population stability of an input.", labels=["model", "column"])
        outputs = GaugeMetricFamily("maas_drift_output_psi", "Population stability of answers.", labels=["model"])
        for found in mine:
            for column in found.columns:
                if column.psi is not None:
                    inputs.add_metric([found.model, column.name], column.psi)
            if found.output is not None and found.output.psi is not None:
                outputs.add_metric([found.model], found.output.psi)
        yield from (inputs, outputs)
