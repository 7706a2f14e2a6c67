"""Specification of a supervised program: its command, readiness check and restart backoff."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff between restarts, in seconds: doubling from `first` up to `cap`."""

    first: float = 0.5
    cap: float = 15.0
    calm: float = 30.0
    """Run time in seconds after which the next pause is `first` again."""

    def pause(self, failures: int) -> float:
        """Return the pause, in seconds, after `failures` ends in a row (1 for the first)."""
        return min(self.cap, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True)
class Program:
    """Command of a program. `env` is added to the supervisor's environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    """URL that answers 200 once the program is ready; None: a running program counts as ready."""
    ready_within: float = 30.0
    backoff: Backoff | None = Backoff()
    """None: the program is not restarted."""
    final_codes: frozenset[int] = frozenset()
    """Exit codes that no restart mends. A program that ends with one before it was ready is not restarted, and the last
    line of its log says why."""
