"""A successful outcome without a pydantic model: there is one for nearly every item."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic_core import from_json, to_json

from batchyard_contracts.v1.flow import ItemOutcome


@dataclass(slots=True)
class Success:
    """An `ItemOutcome` whose result is already JSON."""

    status: ClassVar[Literal["succeeded"]] = "succeeded"
    error: ClassVar[None] = None
    delay_s: ClassVar[None] = None
    state: ClassVar[None] = None
    cached: ClassVar[bool] = False
    ordinal: int
    custom_id: str | None
    json: bytes
    elapsed_ms: int

    @property
    def result(self) -> Any:
        """The result as a Python value."""
        return from_json(self.json)


Outcome = ItemOutcome | Success
OUTCOMES = (Success, ItemOutcome)
_NOT_FINAL = {"retry", "continued"}


def encode_outcome(outcome: Outcome) -> bytes:
    """Return the outcome as JSON for a report, without fields that have their default."""
    if isinstance(outcome, Success):
        more = b"" if outcome.custom_id is None else b',"custom_id":' + to_json(outcome.custom_id)
        if outcome.elapsed_ms:
            more += b',"elapsed_ms":%d' % outcome.elapsed_ms
        return b'{"ordinal":%d,"status":"succeeded"%b,"result":%b}' % (outcome.ordinal, more, outcome.json)
    return outcome.__pydantic_serializer__.to_json(outcome, exclude_none=True, exclude_defaults=True)


def is_final(outcome: Outcome) -> bool:
    """Return True when the item does not run again."""
    return outcome.status not in _NOT_FINAL
