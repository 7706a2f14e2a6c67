"""Whom to tell of the end of a round: one delivery for each target, under ids that never change."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from batchyard_contracts.v1.events import CircuitChanged

Kind = Literal["webhook", "email"]

_NAMESPACE = UUID("5f0c6a0e-8d0b-5f55-9a0f-6f8a3c0c9b57")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody to tell: the URL of a webhook, or the address of a mailbox."""

    kind: Kind
    address: str

    @property
    def valid(self) -> bool:
        """Whether the address was free of control characters when it came."""
        return _REPLACEMENT not in self.address

    @property
    def destination(self) -> str:
        """What the limits count: the host of a webhook; all mail goes through one relay."""
        if self.kind == "email":
            return "mail"
        try:
            return (urlsplit(self.address).hostname or "").lower()
        except ValueError:  # a bracket without its pair; the attempt will say so
            return ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One target that is to hear of one round of a batch."""

    id: UUID
    batch_id: UUID
    round: int
    target: Target


def targets_of(webhooks: Sequence[str], emails: Sequence[str]) -> tuple[Target, ...]:
    """The targets named, each once. Control characters are replaced, which makes a target invalid for good."""
    named = [Target("webhook", _CONTROL.sub(_REPLACEMENT, url)) for url in webhooks]
    named += [Target("email", _CONTROL.sub(_REPLACEMENT, address)) for address in emails]
    return tuple(dict.fromkeys(named))


def deliveries(batch_id: UUID, round_: int, targets: Sequence[Target]) -> Iterator[Delivery]:
    """One delivery for each target; the same again when asked again."""
    for target in targets:
        name = f"{batch_id}/{round_}/{target.kind}/{target.address}"
        yield Delivery(uuid5(_NAMESPACE, name), batch_id, round_, target)


def alert_id(event: CircuitChanged) -> UUID:
    """What takes the place of a batch's id for a circuit: the same as long as it is not closed."""
    since = event.since.isoformat() if event.since else event.at.isoformat()
    return uuid5(_NAMESPACE, f"circuit/{event.workload}/{event.limit}/{event.value}/{since}")


def webhook_id(batch_id: UUID, round_: int) -> str:
    """The id of the event, for receivers to recognise one they have had: the same on every retry."""
    return f"msg_{batch_id.hex}_{round_}"
