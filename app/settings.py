"""Every MAAS_ knob: frozen, described, bounded, with the unit in its name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 2**30
MIB = 2**20


class SettingsError(Exception):
    """The configuration cannot be used; the message names each setting that is wrong."""


class Settings(BaseSettings):
    """Read once at an entry point and passed down; never global."""

    model_config = SettingsConfigDict(env_prefix="MAAS_", frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    data_dir: Path = Field(
        Path("maas-data"), description="Folder of the database, the stored bytes and the first admin key."
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL; unset means SQLite in the data folder. Example: postgresql://user@host/maas",
    )
    workers: int = Field(1, ge=1, le=64, description="Number of API processes.")
    express: bool = Field(
        True, description="Whether predictions of a few ordinary rows are answered below ASGI, in a tenth of the time."
    )
    embedded_worker: bool = Field(True, description="Whether `maas serve` also starts a training worker.")
    allowed_hosts: str | None = Field(
        None,
        description="Comma-separated names accepted in the Host header; unset means the loopback names on a "
        "loopback address and any name elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log level.")

    max_head_bytes: int = Field(32768, ge=1024, le=MIB, description="Largest request line and headers.")
    head_timeout_seconds: float = Field(10, gt=0, le=600, description="Time a client has to send the headers.")
    body_timeout_seconds: float = Field(20, gt=0, le=600, description="Longest silence while a body arrives.")
    max_json_bytes: int = Field(MIB, ge=1024, le=GIB, description="Largest JSON body.")
    max_predict_bytes: int = Field(8 * MIB, ge=1024, le=GIB, description="Largest prediction body.")
    max_predict_rows: int = Field(10_000, ge=1, le=10**7, description="Most rows in one prediction request.")
    served_model: str | None = Field(
        None,
        max_length=200,
        description="Model that `/invocations` asks unless the request names one, such as churn@3.",
    )
    max_upload_bytes: int = Field(8 * GIB, ge=1024, le=2**50, description="Largest uploaded data set.")
    upload_expiry_seconds: float = Field(
        86400, ge=1, le=10**8, description="How long a resumable upload is kept after its last byte."
    )
    max_waiting_predictions: int = Field(
        64, ge=0, le=10**5, description="Predictions of many rows that may wait for a core in one API process."
    )
    prediction_wait_seconds: float = Field(10, gt=0, le=600, description="How long one of them waits before 503.")
    max_wait_seconds: float = Field(60, ge=0, le=600, description="Longest time `Prefer: wait` holds a request.")

    inline_ingest_bytes: int = Field(
        32 * MIB, ge=0, description="Larger tables are read by a worker, after the answer `processing`."
    )
    ingest_wall_seconds: float = Field(
        120, gt=0, le=86400, description="Time limit of reading one upload, and a second more for each MiB of it."
    )
    ingest_memory_bytes: int = Field(GIB, ge=128 * MIB, description="Memory limit of reading one upload.")
    max_decoded_bytes: int = Field(16 * GIB, ge=MIB, description="Largest decoded size of one data set.")
    max_columns: int = Field(10_000, ge=1, le=10**6, description="Most columns of one data set.")
    max_cells: int = Field(10**9, ge=1, description="Most cells (rows times columns) of one data set.")
    pseudonym_secret: SecretStr | None = Field(
        None, min_length=16, description="Key of pseudonyms; unset means a file in the data folder, made when needed."
    )

    worker_slots: int = Field(2, ge=1, le=256, description="Jobs a worker runs at the same time.")
    poll_seconds: float = Field(0.05, ge=0.01, le=10, description="How often a worker looks for jobs.")
    heartbeat_seconds: float = Field(1, ge=0.1, le=60, description="How often a worker renews its leases.")
    lease_seconds: float = Field(
        10, ge=1, le=3600, description="A lease whose heartbeat has not moved for this long has expired."
    )
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts of a job that dies of infrastructure faults.")
    job_processes: int = Field(2, ge=1, le=256, description="Networks of an ensemble that one job learns at a time.")
    checkpoint_seconds: float = Field(10, gt=0, le=3600, description="Time between checkpoints of a running job.")
    job_wall_seconds: float = Field(86400, gt=0, description="Default and largest wall-clock limit of a job.")
    job_memory_bytes: int = Field(4 * GIB, ge=256 * MIB, description="Default and largest memory limit of a job.")
    max_queued_jobs: int = Field(1000, ge=1, description="Most unfinished jobs of one project.")
    max_parameters: int = Field(50_000_000, ge=1, description="Most parameters of one network.")
    sandbox: Literal["required", "best-effort", "off"] = Field(
        "best-effort",
        description="Whether children that read uploads or train must be confined by the kernel.",
    )

    export_cache_bytes: int = Field(
        4 * GIB, ge=0, description="Disk space for written exports; those nobody asked for the longest go first."
    )
    model_cache_bytes: int = Field(512 * MIB, ge=0, description="Memory for loaded models in one API process.")
    log_queue_rows: int = Field(
        10_000,
        ge=1,
        le=10**7,
        description="Rows of the prediction log that an API process holds until they are written.",
    )
    sweep_seconds: float = Field(600, gt=0, description="How often a worker removes unreferenced bytes.")
    grace_seconds: float = Field(3600, ge=0, description="Unreferenced bytes younger than this stay.")
    idempotency_seconds: float = Field(86400, ge=60, description="How long answers to Idempotency-Keys are kept.")

    @property
    def url(self) -> str:
        """The database URL, with the default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'maas.db').absolute()}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names accepted in the Host header, or None for any."""
        if self.allowed_hosts:
            names = frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())
            return None if "*" in names else names
        return frozenset({"127.0.0.1", "localhost", "[::1]", self.host}) if self.is_loopback else None


def load(environ: Mapping[str, str] | None = None, **given: object) -> Settings:
    """Settings from the environment, overridden by `given` values that are not None.

    Raises: SettingsError naming each unknown or unusable setting.
    """
    environ = os.environ if environ is None else environ
    known = {f"MAAS_{name.upper()}" for name in Settings.model_fields}
    for name in environ:
        if name.startswith("MAAS_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise SettingsError(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "."))
    values: dict[str, object] = {
        name: environ[f"MAAS_{name.upper()}"] for name in Settings.model_fields if f"MAAS_{name.upper()}" in environ
    }
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"MAAS_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("; ".join(lines)) from None
