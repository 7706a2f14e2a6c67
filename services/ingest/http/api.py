"""Builds the ASGI application."""

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI
from starlette.types import ASGIApp

from services.ingest.api.service import IngestService
from services.ingest.bulk.bulk_manager import BulkManager
from services.ingest.control.remedies import BatchRemedies
from services.ingest.export_jobs.export_manager import ExportManager
from services.ingest.http import (
    accepted_results,
    audit,
    batch_actions,
    batch_check,
    batch_lists,
    batches,
    dashboard,
    dead_letters,
    deletions,
    docs,
    erasures,
    estimates,
    exports,
    items,
    keys,
    limits,
    meta,
    openapi,
    overview,
    problem_types,
    problems,
    progress,
    questions,
    rates,
    reasons,
    results,
    retention,
    retry,
    schedule_runs,
    schedules,
    series,
    sessions,
    stream,
    stuck,
    submit,
    templates,
    timeline,
    workloads,
)
from services.ingest.http.identity import Identity
from services.ingest.http.request_guard import RequestGuard
from services.ingest.http.request_middleware import RequestMiddleware
from services.ingest.limits.limit_manager import LimitManager
from services.ingest.persistence.follow_up_store import FollowUpStore
from services.ingest.queries.overview_reader import OverviewReader
from services.ingest.retention.batch_deleter import BatchDeleter
from services.ingest.retention.owner_eraser import OwnerEraser
from services.ingest.retention.retention_manager import RetentionManager
from services.ingest.schedules.schedule_manager import ScheduleManager
from services.ingest.submission.batch_checker import BatchChecker
from services.ingest.templates.template_manager import TemplateManager

PREFIX = "/api/v1"
_DESCRIPTION = """Submit batches of work, follow their progress, control them, and read their results.

Each error is a problem document (RFC 9457) whose `code` is stable for the same cause, and whose `type` is the address
of a page about it. Bodies may be compressed with gzip, and in UTF-16 if `Content-Type` or a byte-order mark says so.
The WebSocket `GET /api/v1/batches/{id}/progress` sends the current progress of a batch, each further step
(`batch.progressed.v1`) and its end (`batch.finished.v1`), as JSON texts. The WebSocket `GET /api/v1/stream` sends many
topics: the overview, all batches that change, and single batches.
"""
_TAGS = [
    {"name": "overview", "description": "What runs, and what needs somebody."},
    {"name": "batches", "description": "Submit, list, show and control batches."},
    {"name": "batch-actions", "description": "One command for many batches."},
    {"name": "items", "description": "Items, also those that have not ended."},
    {"name": "results", "description": "Outcomes of items."},
    {"name": "exports", "description": "Outcomes as files with a manifest."},
    {"name": "templates", "description": "Batches with places that parameters fill."},
    {"name": "schedules", "description": "Batches that start at recurring times."},
    {"name": "rates", "description": "Rates of destinations, and the reasons for them."},
    {"name": "workloads", "description": "Workloads that can be run, and the workers that run them."},
    {"name": "keys", "description": "API keys: the rights of clients."},
    {"name": "limits", "description": "Limits of owners, and what is in use."},
    {"name": "retention", "description": "Time for which batches and their data are kept."},
    {"name": "audit", "description": "Who changed what."},
    {"name": "session", "description": "Sign-in of browsers, and facts on this Batchyard."},
    {
        "name": "operators",
        "description": "Stuck batches and dead letters. Only for keys with the scope `operate`.",
    },
]


def build_app(
    service: IngestService,
    identity: Identity,
    template_manager: TemplateManager,
    schedule_manager: ScheduleManager,
    follow_ups: FollowUpStore,
    limit_manager: LimitManager,
    remedies: BatchRemedies,
    deleter: BatchDeleter,
    retention_manager: RetentionManager,
    eraser: OwnerEraser,
    overviews: OverviewReader,
    bulk_manager: BulkManager,
    checker: BatchChecker,
    export_manager: ExportManager,
    *,
    max_websockets: int,
    amqp_url: str,
    clock: Callable[[], datetime],
) -> ASGIApp:
    """Return the application with all routes, error handlers and middleware."""
    access = identity.access
    app = FastAPI(
        title="Batchyard",
        version="1",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # RequestMiddleware has a span; 40 us a request
        generate_unique_id_function=lambda route: "_".join((*map(str, route.tags), route.name)),
    )
    app.include_router(batch_check.routes(checker, access), prefix=PREFIX)
    for module in (
        submit,
        estimates,
        retry,
        accepted_results,
        batch_lists,
        batches,
        reasons,
        items,
        timeline,
        workloads,
        questions,
        rates,
    ):
        app.include_router(module.routes(service, access), prefix=PREFIX)
    app.include_router(results.routes(service, access, max_websockets), prefix=PREFIX)
    app.include_router(rates.changes(service, access), prefix=PREFIX)
    app.include_router(templates.routes(template_manager, access), prefix=PREFIX)
    app.include_router(schedules.routes(schedule_manager, access), prefix=PREFIX)
    app.include_router(schedule_runs.routes(schedule_manager, follow_ups, service, access), prefix=PREFIX)
    app.include_router(batch_actions.routes(bulk_manager, access), prefix=PREFIX)
    app.include_router(exports.routes(service, export_manager, access), prefix=PREFIX)
    app.include_router(overview.routes(overviews, access), prefix=PREFIX)
    app.include_router(series.routes(service, access, clock), prefix=PREFIX)
    app.include_router(keys.routes(identity.keys, access), prefix=PREFIX)
    app.include_router(limits.routes(limit_manager, access), prefix=PREFIX)
    app.include_router(sessions.routes(identity.sessions, access), prefix=PREFIX)
    app.include_router(meta.routes(access, clock), prefix=PREFIX)
    app.include_router(audit.routes(access.audit, access), prefix=PREFIX)
    app.include_router(dead_letters.routes(service, access, amqp_url), prefix=PREFIX)
    app.include_router(deletions.routes(deleter, access), prefix=PREFIX)
    app.include_router(retention.routes(retention_manager, access), prefix=PREFIX)
    app.include_router(erasures.routes(eraser, access), prefix=PREFIX)
    app.include_router(stuck.routes(service, remedies, access), prefix=PREFIX)
    app.include_router(progress.routes(service, access, max_websockets), prefix=PREFIX)
    app.include_router(stream.routes(service, overviews, access, clock, max_websockets), prefix=PREFIX)
    app.include_router(docs.routes())
    app.include_router(problem_types.routes())
    files = dashboard.load()
    app.include_router(dashboard.routes(files))
    app.router.default = dashboard.PageOfOtherPaths(files.get(dashboard.PAGE), app.router.default)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(RequestGuard, address=access.address)
    app.add_middleware(RequestMiddleware)
    return app
