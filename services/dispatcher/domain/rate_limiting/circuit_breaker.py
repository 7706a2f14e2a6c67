"""Pauses a provider that refuses every call, and probes it with a single item now and then.

States: closed (items flow), open (no item before `next_probe_at`), half open (the outcome of the one item in flight
decides).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import ItemError

AT_FAULT = -1
"""Takes the place of the close count for an item that was refused for a reason of its own."""
CircuitState = Literal["closed", "open", "half_open"]
_MAX_REFUSED_ITEMS = 10_000
"""Refused items that are remembered. A forgotten one may open the circuit once more."""


@dataclass(slots=True)
class CircuitBreaker:
    """The circuit of one provider. Times are seconds of the caller's clock."""

    state: CircuitState = "closed"
    error: ItemError | None = None
    """Error that opened the circuit; None if it is closed."""
    opened_at: float = 0.0
    pause_s: float = 0.0
    next_probe_at: float = 0.0
    opened_on: datetime | None = None
    """Wall-clock time of the opening, set by the caller that publishes it."""
    close_count: int = 0
    """Number of times that the circuit was closed again."""
    _refused: dict[Hashable, int] = field(default_factory=dict)
    """Refused items, each with the `close_count` of that moment or `AT_FAULT`. In memory only."""

    def allowed(self, wanted: int, in_flight: int, now: float) -> int:
        """Return how many of `wanted` items may be dispatched with `in_flight` items in flight."""
        if self.state == "closed":
            return wanted
        return 1 if self.state == "open" and now >= self.next_probe_at and in_flight == 0 else 0

    def record_dispatched(self) -> None:
        """Record that an item was dispatched; an open circuit becomes half open."""
        if self.state == "open":
            self.state = "half_open"

    def record_no_answer(self) -> None:
        """Record that the probe came back without an answer of the provider, so that another one may follow."""
        if self.state == "half_open":
            self.state = "open"

    def record_refusal(self, error: ItemError, rule: CircuitRule, now: float) -> bool:
        """Open the circuit after a refusal for a reason of the provider; returns False if it was open already."""
        if self.state == "open":
            return False
        if self.state == "closed":
            self.opened_at, self.pause_s = now, rule.base_s
        else:
            self.pause_s = min(rule.cap_s, 2 * self.pause_s)
        self.state, self.error, self.next_probe_at = "open", error, now + self.pause_s
        return True

    def refused_at(self, item: Hashable) -> int | None:
        """Return how often the circuit had been closed when an item was refused last, or `AT_FAULT`; None if it never
        was."""
        return self._refused.get(item)

    def record_item_refusal(self, item: Hashable, *, at_fault: bool) -> None:
        """Record the refusal of an item; `at_fault`: for a reason of the item, not of the provider."""
        self._refused.pop(item, None)
        self._refused[item] = AT_FAULT if at_fault else self.close_count
        if len(self._refused) > _MAX_REFUSED_ITEMS:
            del self._refused[next(iter(self._refused))]

    def record_success(self) -> bool:
        """Record an answer of the provider; returns True if it closed the circuit, which only an answer to the probe
        does."""
        if self.state != "half_open":
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close the circuit."""
        self.state, self.error, self.next_probe_at, self.opened_on = "closed", None, 0.0, None
        self.close_count += 1

    def take_give_up(self, rule: CircuitRule, now: float) -> bool:
        """Tell whether the provider has refused for so long that its items fail; True at most once in `give_up_s`
        seconds."""
        if self.state == "closed" or now < self.opened_at + rule.give_up_s:
            return False
        self.opened_at = now
        return True
