"""A program to be kept running: its command, how to see that it is ready, how to start it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backoff:
    """Pauses in seconds before a program that ended by itself is started again: doubling, up to a cap."""

    first: float = 0.5
    cap: float = 15.0
    calm: float = 30.0
    """A program that ran at least this long begins again with the first pause."""

    def pause(self, failures: int) -> float:
        """Give the pause after so many ends in a row, 1 for the first."""
        return min(self.cap, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True)
class Program:
    """One command. Its variables are added to those of the supervisor's own environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    """Answers 200 once the program is ready; None takes a program that runs for ready."""
    ready_within: float = 30.0
    backoff: Backoff | None = Backoff()
    """None leaves a program that ended by itself alone."""
