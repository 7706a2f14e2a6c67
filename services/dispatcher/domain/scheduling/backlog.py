"""The waiting page segments of a batch that are in the table and not in memory.

They are read in the order of their places, pass by pass, so that a batch of any size needs a bounded memory. The table
is the truth: a segment that is not in memory waits there until it is read.
"""

from dataclasses import dataclass

SegmentKey = tuple[int, int]
"""Page and segment."""
START: SegmentKey = (-1, -1)
"""Place before the first segment."""
PASS_PAUSE_S = 1.0
"""Seconds before the next pass after one that left segments out, and before the next read after one without room."""
PAUSE_PER_SEGMENT_S = 50e-6
"""Seconds before the next read for each segment that was left out: a search through a large batch takes half a minute
for a million segments, and a part of a processor."""


@dataclass(slots=True)
class Backlog:
    """The place in the table from which a batch reads on. Times are seconds of the caller's clock."""

    has_more: bool = False
    """True if the table may have waiting segments that are not in memory."""
    position: SegmentKey = START
    """Place after which the next read begins."""
    reads: int = 0
    """Number of reads that were begun. A segment that was stored before a read may be among its rows."""
    next_read_at: float = 0.0
    """Time before which nothing is read."""
    _marks: int = 0
    _marks_at_start: int = 0
    _has_left_out: bool = False

    def mark(self) -> None:
        """Record that segments were stored that are not in memory, at whatever place."""
        self.has_more = True
        self._marks += 1
        self.next_read_at = 0.0

    def leave_out(self) -> None:
        """Record that segments before the present place stay in the table for the next pass."""
        self._has_left_out = True

    def pause(self, until: float) -> None:
        """Read nothing before a time."""
        self.next_read_at = max(self.next_read_at, until)

    def begin_read(self) -> None:
        """Record that a read begins, after `position`."""
        self.reads += 1
        if self.position == START:
            self._marks_at_start, self._has_left_out = self._marks, False

    def end_read(self, position: SegmentKey | None, now: float) -> None:
        """Record the place of the last segment that was read and used; None at the end of the table."""
        if position is not None:
            self.position = position
            return
        self.position = START
        self.has_more = self._has_left_out or self._marks != self._marks_at_start
        if self._marks == self._marks_at_start:
            self.pause(now + PASS_PAUSE_S)
