"""Leaves a provider alone that refuses everything, and tries it with a single item now and then.

States: closed (items flow), open (none goes out before `until`), half open (one item is out, its outcome decides).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import ItemError

State = Literal["closed", "open", "half_open"]
_REMEMBERED = 10_000
"""Items that were refused and are held in mind. One that is forgotten may open the circuit once more."""


@dataclass(slots=True)
class Circuit:
    """Of one provider. Times are seconds of the caller's clock."""

    state: State = "closed"
    error: ItemError | None = None
    """Why it is not closed."""
    opened_at: float = 0.0
    pause_s: float = 0.0
    until: float = 0.0
    since: datetime | None = None
    """When it opened, by the calendar: noted by who tells of it."""
    closed: int = 0
    """How often it was closed again."""
    _refused: dict[Hashable, int] = field(default_factory=dict)
    """Items that were refused, and how often it had been closed then. Kept in memory alone."""

    def lets_out(self, wanted: int, out: int, now: float) -> int:
        """How many of the wanted items may go out, when so many are out."""
        if self.state == "closed":
            return wanted
        return 1 if self.state == "open" and now >= self.until and out == 0 else 0

    def given(self) -> None:
        """An item went out."""
        if self.state == "open":
            self.state = "half_open"

    def came_back_unheard(self) -> None:
        """The item that was out is back, and nothing is known of the provider: another may try."""
        if self.state == "half_open":
            self.state = "open"

    def failed(self, error: ItemError, rule: CircuitRule, now: float) -> bool:
        """The provider refused for a cause of its own; whether that changes anything. Not if it is known."""
        if self.state == "open":
            return False
        if self.state == "closed":
            self.opened_at, self.pause_s = now, rule.base_s
        else:
            self.pause_s = min(rule.cap_s, 2 * self.pause_s)
        self.state, self.error, self.until = "open", error, now + self.pause_s
        return True

    def refused(self, item: Hashable) -> bool:
        """An item was refused; whether by its own fault: it was before, and others were taken since. What comes while
        the circuit is open says nothing of its item."""
        before = self._refused.pop(item, None)
        if before is not None and before < self.closed and self.state == "closed":
            self._refused[item] = before  # the same when its report is read again
            return True
        self._refused[item] = self.closed
        if len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]
        return False

    def succeeded(self) -> bool:
        """The provider answered; whether that closes the circuit. Only the item that was sent to try it does."""
        if self.state != "half_open":
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let items flow."""
        self.state, self.error, self.until, self.since = "closed", None, 0.0, None
        self.closed += 1

    def is_hopeless(self, rule: CircuitRule, now: float) -> bool:
        """Whether the provider has refused for so long that its items should fail; asked again, not before as long."""
        if self.state == "closed" or now < self.opened_at + rule.give_up_s:
            return False
        self.opened_at = now
        return True
