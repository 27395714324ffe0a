"""The application: wiring only."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from app import __version__, database, health
from app.accounts.authenticator import Authenticator
from app.accounts.routes import routes as accounts
from app.datasets.asking.exports import Exports
from app.datasets.routes import routes as datasets
from app.datasets.table_routes import routes as tables
from app.datasets.version_routes import routes as versions
from app.jobs.batch_routes import routes as batches
from app.jobs.curve_routes import routes as curves
from app.jobs.evaluation_routes import routes as measuring
from app.jobs.routes import routes as jobs
from app.learning import specs as learning_specs
from app.models.evaluation_routes import routes as evaluations
from app.models.routes import routes as models
from app.predictions.drift import Drifts
from app.predictions.drift_routes import routes as drifts
from app.predictions.express import Express
from app.predictions.inference_routes import routes as inference
from app.predictions.loaded import LoadedModels
from app.predictions.log_routes import routes as logs
from app.predictions.prediction_log import PredictionLog
from app.predictions.replay_routes import routes as replays
from app.predictions.room import Room
from app.predictions.routes import routes as predictions
from app.predictions.scoring_routes import routes as scoring
from app.predictions.service import Served
from app.predictions.statistics import Statistics
from app.settings import Settings
from app.specs.routes import routes as specs
from app.storage import Storage
from app.studies.routes import routes as studies
from app.studies.trial_routes import routes as trials
from app.traffic.gate_routes import routes as gates
from app.traffic.routes import routes as aliases
from app.traffic.shadow_routes import routes as shadows
from app.uploads.routes import routes as uploads
from app.web import openapi, strict_json
from app.web.direct import Direct
from app.web.edge import Edge
from app.web.problems import HANDLERS
from app.web.routing import PolicyRoute, check_policies

# Routes are tried in this order, so the one that is called most comes first.
FEATURES = (
    *(predictions, inference, scoring, jobs, curves, batches, datasets, tables, versions, uploads),
    *(
        models,
        aliases,
        gates,
        shadows,
        logs,
        drifts,
        replays,
        evaluations,
        measuring,
        specs,
        studies,
        trials,
        accounts,
        health.routes,
    ),
)


def create_app(settings: Settings) -> FastAPI:
    """The service for these settings; its database is migrated and its routes are checked before it is returned.

    Raises: RuntimeError when a route has no policy; DatabaseError when the database would lose writes.
    """
    api = FastAPI(
        title="maas",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        exception_handlers=HANDLERS,
    )
    api.router.route_class = PolicyRoute
    for routes in FEATURES:
        api.include_router(routes)
    check_policies(api.routes)
    api.openapi = openapi.document(api, __version__)  # type: ignore[method-assign]
    _open(api, settings)
    # Outside of the framework's own layers, which direct routes have no use for.
    direct = Direct(api.build_middleware_stack(), routes=api.routes)
    api.middleware_stack = Edge(direct, hosts=settings.hosts, observe=api.state.metrics.observe)
    return api


def _open(api: FastAPI, settings: Settings) -> None:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = database.connect(settings.url)
    database.migrate(engine)
    sessions, read_sessions = database.sessions(engine), database.sessions(engine, read_only=True)
    storage = Storage(settings.data_dir)
    state = api.state
    state.settings = settings
    state.engine = engine
    state.sessions = sessions
    state.read_sessions = read_sessions
    state.storage = storage
    state.exports = Exports(settings.data_dir / "exports", settings.export_cache_bytes)
    state.authenticate = Authenticator(sessions, read_sessions)
    loaded = LoadedModels(storage, budget_bytes=settings.model_cache_bytes)
    state.served = Served(sessions, read_sessions, loaded)
    state.room = Room(max_waiting=settings.max_waiting_predictions, wait_seconds=settings.prediction_wait_seconds)
    state.statistics = Statistics()
    state.metrics = health.Metrics()
    state.drifts = Drifts()
    state.prediction_log = PredictionLog(
        sessions, read_sessions, max_rows=settings.log_queue_rows, registry=state.metrics.registry
    )
    route = next(route for route in predictions.routes if getattr(route, "name", None) == "predict")
    state.express = Express(
        state.served,
        state.prediction_log,
        max_rows=settings.max_predict_rows,
        remembered=state.authenticate.remembered,
        parse=strict_json.plain,
        observe=partial(state.metrics.observe, {"method": "POST", "route": route}, 200),
    )
    state.leaving = threading.Event()


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    # Loaded now, so that the log of the start says which packages' specs cannot be used, and why.
    learning_specs.installed()
    api.state.prediction_log.start()
    yield
    api.state.prediction_log.stop()
    api.state.served.close()
    await api.state.served.settle()
    await api.state.authenticate.settle()
    database.close(api.state.engine)
