"""Bounds what each sender may cause in a period of time, in bounded memory."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_SENDERS = 10_000
"""Largest number of senders that have a quota of their own in a period. All others share one."""
_OTHERS = "\x00others"
_REDUCED = 16
"""The quota of a sender who used up that of the period before is divided by it."""


@dataclass(slots=True)
class _Use:
    divisor: int = 1
    messages: int = 0
    size: int = 0


class SenderQuota:
    """Quota of messages, and of their bytes, that each sender has in every period of `period_s` seconds.

    `reduces`: who has used it up has a sixteenth of it in the next periods, until one in which something is left of it.
    """

    def __init__(
        self,
        messages: int,
        period_s: float,
        *,
        size: float = math.inf,
        reduces: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_messages, self._max_size, self._period_s = messages, size, period_s
        self._reduces = reduces
        self._clock = clock
        self._ends_at = clock() + period_s
        self._used: dict[str, _Use] = {}

    def take(self, sender: str, size: int = 0) -> bool:
        """Take a message of `size` bytes from the quota of its sender; False if nothing was left of it.

        The last message may exceed the bytes, so that none is too large for a quota.
        """
        use = self._use_of(sender)
        if self._is_used_up(use):
            return False
        use.messages += 1
        use.size += size
        return True

    def used_up_for_s(self, sender: str) -> float | None:
        """Return the seconds until the sender has a quota again; None while something is left of it."""
        use = self._use_of(sender)
        return max(0.0, self._ends_at - self._clock()) if self._is_used_up(use) else None

    def _is_used_up(self, use: _Use) -> bool:
        return use.messages >= max(1, self._max_messages // use.divisor) or use.size >= self._max_size / use.divisor

    def _use_of(self, sender: str) -> _Use:
        now = self._clock()
        if now >= self._ends_at:
            is_next = self._reduces and now < self._ends_at + self._period_s
            self._used = {name: _Use(_REDUCED) for name, use in self._used.items() if is_next and self._is_used_up(use)}
            self._ends_at = now + self._period_s
        if sender not in self._used and len(self._used) >= MAX_SENDERS:
            sender = _OTHERS
        return self._used.setdefault(sender, _Use())
