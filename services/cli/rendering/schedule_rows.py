"""Draws schedules, their next times and their runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from services.cli.rendering.tables import table_of

_MARKS = {"moved": "the clock skips the time of the expression", "repeated": "the clock shows this time twice"}


def schedules_table(schedules: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each schedule."""
    table = table_of("schedule", "cron", "zone", "starts", "next time", "overlap")
    for one in schedules:
        content = f"template {one['template']}" if one.get("template") else f"batch of {one['workload']}"
        table.add_row(one["name"], one["cron"], one["zone"], content, _next(one), one["overlap"])
    return table


def schedule_lines(schedule: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the fields of a schedule that are set, as a name and words each."""
    version = schedule.get("template_version")
    found = {
        "schedule": schedule["name"],
        "cron": f"{schedule['cron']} ({schedule['zone']})",
        "template": schedule.get("template") and f"{schedule['template']}, version {version or 'latest'}",
        "workload": schedule["workload"],
        "next time": _next(schedule),
        "overlap": schedule["overlap"],
        "missed runs": f"{schedule['missed']}, up to {schedule['catch_up_s']} s late",
        "jitter": schedule["jitter_s"] and f"up to {schedule['jitter_s']} s",
        "from": schedule.get("starts_at"),
        "until": schedule.get("ends_at"),
    }
    return [(name, str(words)) for name, words in found.items() if words]


def times_table(times: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each future time."""
    table = table_of("local time", "UTC", "note")
    for one in times:
        local, utc = datetime.fromisoformat(one["local"]), datetime.fromisoformat(one["at"])
        table.add_row(f"{local:%a %Y-%m-%d %H:%M %z}", f"{utc:%Y-%m-%d %H:%M}", _MARKS.get(one.get("mark", ""), ""))
    return table


def runs_table(runs: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each run."""
    table = table_of("time", "origin", "state", "batch", "reason")
    for one in runs:
        at = one["nominal_at"][:19].replace("T", " ")
        more = f"{one['count']} times: " if one["count"] > 1 else ""
        table.add_row(at, one["origin"], one["state"], one.get("batch_id", ""), more + one.get("reason", ""))
    return table


def _next(schedule: dict[str, Any]) -> str:
    if schedule["paused"]:
        return f"paused: {schedule['note']}" if schedule.get("note") else "paused"
    return f"{schedule['next_at'][:16].replace('T', ' ')} UTC" if schedule.get("next_at") else "none: it has ended"
