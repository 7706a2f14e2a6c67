"""A worker's report as the dispatcher needs it: the items that ended, and the outcomes of those that run again.

Reads the same JSON as the contract's `ChunkProcessed`, without the results, which may be large and many.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import msgspec
from pydantic_core import from_json

from batchyard_contracts.v1.flow import ChunkProcessed, DestinationFeedback, ItemOutcome
from batchyard_contracts.v1.values import ItemError
from shared.messaging.fast_readers import RawOutcome, RawReport, RawReportHead

Outcomes = dict[int, ItemOutcome | None]
"""Outcomes by ordinal; None for an item that has ended."""

_UNFINISHED = {"retry", "continued"}
_OUTCOMES = b',"outcomes":['
"""Start of the outcomes. Quotes in a string are escaped, so it is never part of one."""
_head = msgspec.json.Decoder(RawReportHead)
_whole = msgspec.json.Decoder(RawReport)


@dataclass(slots=True)
class Report:
    """A report of `count` outcomes of a chunk. `parsed` is None until `outcomes` is called; all its items have ended
    then."""

    type: ClassVar[str] = ChunkProcessed.type
    chunk_id: UUID
    fence: int
    final: bool
    busy_s: float
    count: int
    body: bytes
    parsed: Outcomes | None = None
    feedback: DestinationFeedback | None = None

    @classmethod
    def decode(cls, body: bytes) -> "Report":
        """Read a body; raises `pydantic.ValidationError` if it is no report."""
        at = body.find(_OUTCOMES)
        try:
            head = _head.decode(body[:at] + b"}")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return cls._in_full(body)
        if head.ended is None:
            return cls._in_full(body)
        feedback = _feedback(head)
        return cls(head.chunk_id, head.fence, head.final, head.busy_ms / 1000, head.ended, body, feedback=feedback)

    def outcomes(self) -> Outcomes:
        """Return the outcomes; the first one of an ordinal that occurs twice."""
        if self.parsed is None:
            self.parsed = self._in_full(self.body).parsed or {}
        return self.parsed

    @classmethod
    def _in_full(cls, body: bytes) -> "Report":
        try:
            if not body.isascii():
                body.decode()
            report = _whole.decode(body)
            outcomes = [(o.ordinal, _next(o)) for o in report.outcomes]
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract accepts more, or reports the error
            return cls._of(ChunkProcessed.decode(body), body)
        return cls(
            report.chunk_id,
            report.fence,
            report.final,
            report.busy_ms / 1000,
            len(outcomes),
            body,
            _first(outcomes),
            _feedback(report),
        )

    @classmethod
    def _of(cls, message: ChunkProcessed, body: bytes) -> "Report":
        outcomes = [(o.ordinal, o if o.status in _UNFINISHED else None) for o in message.outcomes]
        return cls(
            message.chunk_id,
            message.fence,
            message.final,
            message.busy_ms / 1000,
            len(outcomes),
            body,
            _first(outcomes),
            message.feedback,
        )


def _feedback(head: RawReportHead) -> DestinationFeedback | None:
    return (
        DestinationFeedback.model_validate_json(bytes(head.feedback))
        if head.feedback and head.feedback != b"null"
        else None
    )


def _next(outcome: RawOutcome) -> ItemOutcome | None:
    error = ItemError.model_validate_json(bytes(outcome.error)) if outcome.error and outcome.error != b"null" else None
    if outcome.status not in _UNFINISHED:
        return None
    return ItemOutcome(
        ordinal=outcome.ordinal,
        status=outcome.status,
        custom_id=outcome.custom_id,
        error=error,
        delay_s=outcome.delay_s,
        guessed=outcome.guessed,
        state=from_json(bytes(outcome.state)) if outcome.state else None,
        elapsed_ms=outcome.elapsed_ms,
    )


def _first(outcomes: Iterable[tuple[int, ItemOutcome | None]]) -> Outcomes:
    found: Outcomes = {}
    for ordinal, outcome in outcomes:
        found.setdefault(ordinal, outcome)
    return found
