"""Query for the attempts of an item that failed."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import Attempt, BatchId, Count, ItemError, Ordinal, Owner, Round, Time

MAX_ATTEMPTS = 5
"""Largest number of failed attempts that are kept of an item."""


class AttemptsQuery(Message):
    """Query for the failed attempts of one item after which it ran again, or was to."""

    type: ClassVar[str] = "attempts.query.v1"
    owner: Owner
    batch_id: BatchId
    ordinal: Ordinal


class FailedAttempt(Value):
    """Attempt that failed, and after which the item ran again, or was to."""

    round: Round
    attempt: Attempt
    error: ItemError
    elapsed_ms: Count = 0
    at: Time
    """Time at which the failure was recorded."""


class AttemptsReply(Message):
    """Reply with the last failed attempts, the newest first."""

    type: ClassVar[str] = "attempts.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    attempts: Annotated[list[FailedAttempt], Field(max_length=MAX_ATTEMPTS)] = []
