"""The deliveries of a finished round: one for each target, with ids that never change."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from batchyard_contracts.v1.events import BatchStuck, CircuitChanged, KeyExpiring

Kind = Literal["webhook", "email"]

_NAMESPACE = UUID("5f0c6a0e-8d0b-5f55-9a0f-6f8a3c0c9b57")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Target:
    """Notification target: the URL of a webhook, or an e-mail address."""

    kind: Kind
    address: str

    @property
    def is_valid(self) -> bool:
        """Tell whether the address had no control characters when it was received."""
        return _REPLACEMENT not in self.address

    @property
    def destination(self) -> str:
        """Key of the concurrency limits: the host of a webhook; `mail` for all e-mail, which goes through one relay."""
        if self.kind == "email":
            return "mail"
        try:
            return (urlsplit(self.address).hostname or "").lower()
        except ValueError:  # an unpaired bracket; the attempt will fail with a reason
            return ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Delivery of one round's event to one target."""

    id: UUID
    batch_id: UUID
    round: int
    target: Target


def targets_of(webhooks: Sequence[str], emails: Sequence[str]) -> tuple[Target, ...]:
    """Return the distinct targets. Control characters are replaced, which makes a target invalid for good."""
    named = [Target("webhook", _CONTROL.sub(_REPLACEMENT, url)) for url in webhooks]
    named += [Target("email", _CONTROL.sub(_REPLACEMENT, address)) for address in emails]
    return tuple(dict.fromkeys(named))


def deliveries_for(batch_id: UUID, round_: int, targets: Sequence[Target]) -> Iterator[Delivery]:
    """Yield one delivery for each target; repeated calls give the same ids."""
    for target in targets:
        name = f"{batch_id}/{round_}/{target.kind}/{target.address}"
        yield Delivery(uuid5(_NAMESPACE, name), batch_id, round_, target)


def alert_id(event: CircuitChanged) -> UUID:
    """Return the id that takes the place of a batch's id for a circuit; it stays the same until the circuit closes."""
    since = event.since.isoformat() if event.since else event.at.isoformat()
    return uuid5(_NAMESPACE, f"circuit/{event.workload}/{event.limit}/{event.partition}/{since}")


def stuck_alert_id(event: BatchStuck) -> UUID:
    """Return the id of the alert that a round of a batch is stuck."""
    return uuid5(_NAMESPACE, f"stuck/{event.batch_id}/{event.round}")


def expiry_alert_id(event: KeyExpiring) -> UUID:
    """Return the id of the alert that a key ends soon, of which there is one for each announcement."""
    return uuid5(_NAMESPACE, f"key/{event.key_id}/{event.at.isoformat()}")


def webhook_id(batch_id: UUID, round_: int) -> str:
    """Return the id by which receivers recognise a repeated event; it is the same for every retry."""
    return f"msg_{batch_id.hex}_{round_}"
