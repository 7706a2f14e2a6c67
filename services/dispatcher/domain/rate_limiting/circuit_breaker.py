"""Leaves a provider alone that refuses everything, and tries it with a single item now and then.

States: closed (items flow), open (none goes out before `until`), half open (one item is out, its outcome decides).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import ItemError

CircuitState = Literal["closed", "open", "half_open"]
_MAX_REFUSED_ITEMS = 10_000
"""Items that were refused and are held in mind. One that is forgotten may open the circuit once more."""


@dataclass(slots=True)
class CircuitBreaker:
    """Of one provider. Times are seconds of the caller's clock."""

    state: CircuitState = "closed"
    error: ItemError | None = None
    """Why it is not closed."""
    opened_at: float = 0.0
    pause_s: float = 0.0
    next_probe_at: float = 0.0
    opened_on: datetime | None = None
    """When it opened, by the calendar: noted by who tells of it."""
    close_count: int = 0
    """How often it was closed again."""
    _refused: dict[Hashable, int] = field(default_factory=dict)
    """Items that were refused, and how often it had been closed then. Kept in memory alone."""

    def allowed(self, wanted: int, in_flight: int, now: float) -> int:
        """How many of the wanted items may go out, when so many are out."""
        if self.state == "closed":
            return wanted
        return 1 if self.state == "open" and now >= self.next_probe_at and in_flight == 0 else 0

    def record_dispatched(self) -> None:
        """An item went out."""
        if self.state == "open":
            self.state = "half_open"

    def record_no_answer(self) -> None:
        """The item that was out is back, and nothing is known of the provider: another may try."""
        if self.state == "half_open":
            self.state = "open"

    def record_refusal(self, error: ItemError, rule: CircuitRule, now: float) -> bool:
        """The provider refused for a cause of its own; whether that changes anything. Not if it is known."""
        if self.state == "open":
            return False
        if self.state == "closed":
            self.opened_at, self.pause_s = now, rule.base_s
        else:
            self.pause_s = min(rule.cap_s, 2 * self.pause_s)
        self.state, self.error, self.next_probe_at = "open", error, now + self.pause_s
        return True

    def record_item_refusal(self, item: Hashable) -> bool:
        """An item was refused; whether by its own fault: it was before, and others were taken since. What comes while
        the circuit is open says nothing of its item."""
        previous = self._refused.pop(item, None)
        if previous is not None and previous < self.close_count and self.state == "closed":
            self._refused[item] = previous  # the same when its report is read again
            return True
        self._refused[item] = self.close_count
        if len(self._refused) > _MAX_REFUSED_ITEMS:
            del self._refused[next(iter(self._refused))]
        return False

    def record_success(self) -> bool:
        """The provider answered; whether that closes the circuit. Only the item that was sent to try it does."""
        if self.state != "half_open":
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let items flow."""
        self.state, self.error, self.next_probe_at, self.opened_on = "closed", None, 0.0, None
        self.close_count += 1

    def take_give_up(self, rule: CircuitRule, now: float) -> bool:
        """Whether the provider has refused for so long that its items should fail; asked again, not before as long."""
        if self.state == "closed" or now < self.opened_at + rule.give_up_s:
            return False
        self.opened_at = now
        return True
