"""Snapshot of a batch's progress as it is sent to a WebSocket: the body of an event with its type in front."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Forecast


class ProgressSnapshot:
    """Progress of a batch at one moment, encoded as JSON."""

    __slots__ = ("body", "final", "is_running", "owner", "rank", "result")

    def __init__(
        self,
        body: bytes,
        *,
        owner: str,
        final: bool,
        rank: tuple[int, int, int],
        result: str | None = None,
        is_running: bool = False,
    ) -> None:
        self.body = body
        self.owner = owner
        self.final = final
        self.rank = rank
        """Order of snapshots of one batch: round, whether it ended, ended items. A snapshot never follows one of a
        higher rank."""
        self.result = result
        """Result of the batch; None while it has not ended."""
        self.is_running = is_running
        """True if the batch is sealed, not paused, and has not ended."""

    def with_forecast(self, forecast: Forecast) -> "ProgressSnapshot":
        """Return the snapshot of a running batch with a forecast in place of an earlier one."""
        value = orjson.loads(self.body) | {"forecast": forecast.model_dump(mode="json", exclude_none=True)}
        return ProgressSnapshot(
            orjson.dumps(value),
            owner=self.owner,
            final=self.final,
            rank=self.rank,
            result=self.result,
            is_running=self.is_running,
        )

    @classmethod
    def from_event(cls, kind: str, body: bytes) -> tuple[UUID, "ProgressSnapshot"]:
        """Decode an event; raises `ValueError`, `KeyError` or `TypeError` on an invalid body."""
        value = orjson.loads(body)
        return UUID(value["batch_id"]), cls.from_fields({"type": kind, **value})

    @classmethod
    def from_fields(cls, value: Mapping[str, object]) -> "ProgressSnapshot":
        """Return the snapshot with these fields."""
        final = value["type"] == BatchFinished.type
        counts = value["counts"]
        if not isinstance(counts, Mapping):
            raise TypeError("`counts` is not an object")
        ended = sum(counts.get(k, 0) for k in ("succeeded", "failed", "cancelled", "expired", "duplicate"))
        owner = str(value["owner"])
        rank = (int(str(value["round"])), final, ended)
        result = str(value["result"]) if final and "result" in value else None
        is_running = value.get("status") == "running"
        return cls(orjson.dumps(value), owner=owner, final=final, rank=rank, result=result, is_running=is_running)

    @classmethod
    def from_state(cls, state: BatchState) -> "ProgressSnapshot":
        """Return the snapshot of a state that the aggregator replied with."""
        now = datetime.now(UTC)
        message = state.end(now) or BatchProgressed(
            workload=state.workload,
            owner=state.owner,
            batch_id=state.batch_id,
            round=state.round,
            status=state.status,
            counts=state.counts,
            items_per_s=state.items_per_s,
            eta_s=state.eta_s,
            percent=state.percent,
            at=now,
        )
        return cls.from_fields({"type": message.type, **message.model_dump(mode="json", exclude_none=True)})
