"""Settings: every knob is known, bounded, described, and named with its unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import Settings, SettingsError, load

NUMBERS = (int, float)
UNITS = ("_bytes", "_seconds")
# Counts and names have no unit: what they count stands in the name.
COUNTS = {
    "job_processes",
    "port",
    "workers",
    "max_predict_rows",
    "max_waiting_predictions",
    "log_queue_rows",
    "max_columns",
    "max_cells",
    "worker_slots",
    "max_attempts",
}
COUNTS |= {"max_queued_jobs", "max_parameters"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("MAAS_DATBASE_URL", "MAAS_DATABASE_URL"), ("MAAS_DATADIR", "MAAS_DATA_DIR"), ("MAAS_PORTS", "MAAS_PORT")],
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not a setting; did you mean {meant}?"):
        load(environ={name: "x"})


def test_a_name_like_nothing_is_refused_too() -> None:
    with pytest.raises(SettingsError, match="MAAS_QQQQQ is not a setting"):
        load(environ={"MAAS_QQQQQ": "1"})


def test_other_programs_variables_are_none_of_ours() -> None:
    load(environ={"PATH": "/bin", "maas_port": "x", "MAASIVE": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAAS_PORT", "65536"),
        ("MAAS_PORT", "http"),
        ("MAAS_WORKERS", "0"),
        ("MAAS_EMBEDDED_WORKER", "perhaps"),
        ("MAAS_MAX_JSON_BYTES", "-1"),
        ("MAAS_HEAD_TIMEOUT_SECONDS", "0"),
        ("MAAS_HEAD_TIMEOUT_SECONDS", "nan"),
        ("MAAS_LEASE_SECONDS", "inf"),
        ("MAAS_JOB_WALL_SECONDS", "inf"),
        ("MAAS_SWEEP_SECONDS", "nan"),
        ("MAAS_MAX_WAIT_SECONDS", "1e9"),
        ("MAAS_SANDBOX", "maybe"),
        ("MAAS_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(environ={name: value})


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"MAAS_PORT: .*; MAAS_WORKERS: "):
        load(environ={"MAAS_PORT": "-1", "MAAS_WORKERS": "x"})


def test_the_environment_is_read_and_arguments_win() -> None:
    environ = {"MAAS_PORT": "9000", "MAAS_HOST": "::1", "MAAS_EMBEDDED_WORKER": "false"}
    settings = load(environ, port=9001, host=None)
    assert (settings.port, settings.host, settings.embedded_worker) == (9001, "::1", False)


def test_settings_never_change(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_and_every_number_bounded_with_its_unit_in_the_name(name: str) -> None:
    field: Any = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".") or "Example:" in field.description
    if field.annotation in NUMBERS:
        assert any(hasattr(limit, "ge") or hasattr(limit, "gt") for limit in field.metadata)
        assert name.endswith(UNITS) != (name in COUNTS)


def test_the_default_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    assert load(environ={}, data_dir=tmp_path).url == f"sqlite:///{tmp_path / 'maas.db'}"
    assert load(environ={}, database_url="postgresql://x/y").url == "postgresql://x/y"


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, {"127.0.0.1", "localhost", "[::1]"}),
        ({"host": "0.0.0.0"}, None),
        ({"host": "127.0.0.2"}, {"127.0.0.1", "localhost", "[::1]", "127.0.0.2"}),
        ({"allowed_hosts": "A.example , b.example,"}, {"a.example", "b.example"}),
        ({"allowed_hosts": "*"}, None),
    ],
)
def test_the_accepted_hosts_follow_from_where_it_listens(given: dict[str, str], hosts: set[str] | None) -> None:
    assert load(environ={}, **given).hosts == (frozenset(hosts) if hosts is not None else None)
