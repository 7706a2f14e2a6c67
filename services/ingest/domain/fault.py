"""Why something is refused: one value for every door, which turns it into its own kind of answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason to refuse a command whole. `code` stays the same for the same cause; `detail` says what to do."""

    code: str
    detail: str
    status: int = 422
    """The HTTP status."""
    line: int | None = None
    """The first item at fault, counted from 1; of a file: its line."""

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line is not None else ""
        return f"{self.code}{place}: {self.detail}"

    def at(self, line: int) -> "Fault":
        """The same fault, with the place where it was found."""
        return Fault(self.code, self.detail, self.status, line)
