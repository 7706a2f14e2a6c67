"""A worker's report as the dispatcher needs it: the items that ended, and the outcomes of those that run again.

Reads the same JSON as the contract's `ChunkProcessed`, without the results, which may be large and many. It accepts and
refuses what the ledger does: a report that only one of them believes would leave its batch without an end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from pydantic import ValidationError
from pydantic_core import from_json

from batchyard_contracts.v1.flow import ChunkProcessed, DestinationFeedback, ItemOutcome
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, ItemError
from shared.messaging.fast_readers import Ordinal, RawOutcome, RawReport, RawReportHead

Outcomes = dict[int, ItemOutcome | None]
"""Outcomes by ordinal; None for an item that has ended."""

_UNFINISHED = {"retry", "continued"}
_OUTCOMES = b',"outcomes":['
"""Start of the outcomes. Quotes in a string are escaped, so it is never part of one."""


class _EndedOutcome(msgspec.Struct, gc=False):
    """An outcome whose item does not run again."""

    ordinal: Ordinal
    status: Literal["succeeded", "failed", "cancelled"]


class _EndedReport(msgspec.Struct):
    """The outcomes of a report whose items do not run again."""

    outcomes: Annotated[list[_EndedOutcome], msgspec.Meta(max_length=MAX_ITEMS_PER_COMMAND)]


_head = msgspec.json.Decoder(RawReportHead)
_ended = msgspec.json.Decoder(_EndedReport)
_whole = msgspec.json.Decoder(RawReport)


@dataclass(slots=True)
class Report:
    """A report of `count` outcomes of a chunk. `parsed` is None until `outcomes` is called; then `ended` are the
    ordinals of its items, all of which have ended."""

    type: ClassVar[str] = ChunkProcessed.type
    chunk_id: UUID
    fence: int
    final: bool
    busy_s: float
    count: int
    body: bytes
    parsed: Outcomes | None = None
    feedback: DestinationFeedback | None = None
    ended: frozenset[int] = frozenset()
    head: RawReportHead | ChunkProcessed | None = None
    """Fields that the lease token of the chunk was made for, and the token."""

    @classmethod
    def decode(cls, body: bytes) -> "Report":
        """Read a body; raises `pydantic.ValidationError` if it is no report."""
        at = body.find(_OUTCOMES)
        try:
            head = _head.decode(body[:at] + b"}")
            if head.ended is None:
                return cls._in_full(body)
            if not body.isascii():
                body.decode()
            ended = frozenset([outcome.ordinal for outcome in _ended.decode(body).outcomes])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return cls._in_full(body)
        if len(ended) != head.ended:  # a worker that counts otherwise
            return cls._in_full(body)
        return cls(
            head.chunk_id,
            head.fence,
            head.final,
            head.busy_ms / 1000,
            head.ended,
            body,
            feedback=_feedback(head),
            ended=ended,
            head=head,
        )

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
            return cls._of(ChunkProcessed.decode_leniently(body), body)
        return cls(
            report.chunk_id,
            report.fence,
            report.final,
            report.busy_ms / 1000,
            len(outcomes),
            body,
            _first(outcomes),
            _feedback(report),
            head=report,
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
            head=message,
        )


def _feedback(head: RawReportHead) -> DestinationFeedback | None:
    """Return the feedback; None if there is none, or if it cannot be read."""
    if not head.feedback or head.feedback == b"null":
        return None
    try:
        return DestinationFeedback.model_validate_json(bytes(head.feedback))
    except ValidationError:
        return None


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
