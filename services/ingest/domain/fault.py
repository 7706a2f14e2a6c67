"""Why something is refused: one value for every door, which turns it into its own kind of answer."""

from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason to refuse a command whole. `code` stays the same for the same cause; `detail` says what to do."""

    code: str
    detail: str
    status: int = 422
    """The HTTP status."""
    line: int | None = None
    """The first item at fault, counted from 1; of a file: its line."""
    retry_after_s: float | None = None
    """When the same may be taken, if it is refused for want of room."""
    batch_id: UUID | None = None
    items: int | None = None
    """Of an upload that stopped midway: the batch that stays open, and how many items it has."""

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line is not None else ""
        return f"{self.code}{place}: {self.detail}"

    def at(self, line: int) -> "Fault":
        """The same fault, with the place where it was found."""
        return replace(self, line=line)
