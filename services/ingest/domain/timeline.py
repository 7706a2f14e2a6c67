"""The timeline of a batch: what happened to it and to its destinations, the newest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from batchyard_contracts.v1.queries import BatchState, DestinationChange

Kind = Literal[
    "accepted",
    "started",
    "sealed",
    "paused",
    "resumed",
    "changed",
    "cancelled",
    "retried",
    "released",
    "replayed",
    "results_accepted",
    "rate_changed",
    "circuit_opened",
    "circuit_closed",
    "ended",
]
_COMMANDS: dict[str, Kind] = {
    "batch.seal": "sealed",
    "batch.pause": "paused",
    "batch.resume": "resumed",
    "batch.change": "changed",
    "batch.cancel": "cancelled",
    "batch.finish": "cancelled",
    "batch.retry": "retried",
    "batch.release": "released",
    "batch.replay": "replayed",
    "batch.accept": "results_accepted",
}
_WITH_REASON = {"batch.finish", "batch.release", "batch.replay", "batch.accept"}
"""Commands whose givers have to name a reason."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to a batch or to one of its destinations."""

    at: datetime
    kind: Kind
    round: int | None = None
    actor: str | None = None
    door: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    limit: str | None = None
    partition: str | None = None
    reason: str | None = None
    result: str | None = None


def of_command(command: dict[str, Any]) -> TimelineEntry:
    """Return the entry of a command in the audit."""
    after = command["after"] or {}
    return TimelineEntry(
        command["at"],
        _COMMANDS[command["action"]],
        round=after.get("round"),
        actor=command["actor"],
        door=command["door"],
        before=command["before"] if command["action"] == "batch.change" else None,
        after=after if command["action"] in {"batch.change", "batch.retry", "batch.accept"} else None,
        reason=after.get("reason") if command["action"] in _WITH_REASON else None,
    )


def of_change(change: DestinationChange) -> TimelineEntry:
    """Return the entry of a change of a rate or of a circuit."""
    where: dict[str, Any] = {"limit": change.limit, "partition": change.partition, "reason": change.reason or None}
    if change.circuit is not None:
        return TimelineEntry(change.at, "circuit_closed" if change.circuit == "closed" else "circuit_opened", **where)
    before, after = {"per_second": change.before}, {"per_second": change.after}
    return TimelineEntry(change.at, "rate_changed", before=before, after=after, **where)


def of_end(state: BatchState) -> list[TimelineEntry]:
    """Return the end of the latest round, if it has ended."""
    if state.status != "finished" or state.finished_at is None:
        return []
    return [TimelineEntry(state.finished_at, "ended", round=state.round, result=state.result, reason=state.stop_reason)]


def page_of(
    entries: Iterable[TimelineEntry], before: datetime, limit: int
) -> tuple[Sequence[TimelineEntry], datetime | None]:
    """Return the newest entries before a time, and the time before which they go on; None at the end.

    A page has more than `limit` entries if those at its end have the same time.
    """
    ordered = sorted((entry for entry in entries if entry.at < before), key=lambda entry: entry.at, reverse=True)
    size = limit
    while 0 < size < len(ordered) and ordered[size].at == ordered[size - 1].at:
        size += 1
    page = ordered[:size]
    return page, page[-1].at if size < len(ordered) else None
