"""Completion of batch ids, workloads and formats, for bash, zsh and fish. Without an answer nothing is offered."""

from typing import Any

import typer

_ANSWER_S = 2.0
_BATCHES = 50
_NAMES = 200
FORMATS = {
    "ndjson": "one JSON object a line",
    "json": "a JSON list",
    "csv": "a table",
    "parquet": "a table with types, for a file",
    "records": "each record once, a JSON object a line",
    "records-csv": "each record once, as a table",
}
"""Formats of results that need no export of a workload."""

Offers = list[tuple[str, str]]


def batch_ids(ctx: typer.Context, incomplete: str) -> Offers:
    """Return `last` and the ids of the newest batches."""
    found = _ask(ctx, "/batches", {"limit": _BATCHES}).get("batches", [])
    known = [("last", "the batch that you submitted last")]
    known += [(batch["batch_id"], _about(batch)) for batch in found]
    return _fitting(known, incomplete)


def workload_names(ctx: typer.Context, incomplete: str) -> Offers:
    """Return the names of the workloads that workers have announced."""
    known = [(each["name"], str(each.get("title") or "")) for each in _workloads(ctx)]
    return _fitting(known, incomplete)


def result_formats(ctx: typer.Context, incomplete: str) -> Offers:
    """Return the names of the formats of results, and of the exports of all workloads."""
    exports = {name: f"a file for each item of {each['name']}" for each in _workloads(ctx) for name in each["exports"]}
    return _fitting([*FORMATS.items(), *exports.items()], incomplete)


def template_names(ctx: typer.Context, incomplete: str) -> Offers:
    """Return the names of your templates and of shared ones."""
    found = _ask(ctx, "/templates", {"limit": _NAMES, "prefix": incomplete[:63]}).get("templates", [])
    return _fitting([(each["name"], str(each.get("description") or "")) for each in found], incomplete)


def schedule_names(ctx: typer.Context, incomplete: str) -> Offers:
    """Return the names of your schedules."""
    found = _ask(ctx, "/schedules", {"limit": _NAMES, "prefix": incomplete[:63]}).get("schedules", [])
    return _fitting([(each["name"], f"{each['cron']} {each['zone']}") for each in found], incomplete)


def _workloads(ctx: typer.Context) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _ask(ctx, "/workloads", {}).get("workloads", [])
    return found


def _ask(ctx: typer.Context, path: str, query: dict[str, str | int | list[str] | None]) -> dict[str, Any]:
    import json

    from services.cli.actions.session import connect
    from services.cli.errors import CliError

    try:
        document: dict[str, Any] = json.loads(connect(ctx).get(path, query, answer_s=_ANSWER_S))
    except CliError:
        return {}
    return document


def _about(batch: dict[str, Any]) -> str:
    return " ".join(filter(None, (batch["workload"], batch.get("result") or batch["status"], batch.get("name"))))


def _fitting(known: Offers, incomplete: str) -> Offers:
    return [(word, about) for word, about in known if word.startswith(incomplete)]
