"""Reason for a rejection, which the HTTP API and the AMQP handlers turn into their replies."""

from dataclasses import dataclass, field, replace
from uuid import UUID

from batchyard_contracts.v1.commands import MAX_INPUT_ERRORS, InputError


@dataclass(frozen=True, slots=True)
class Rejection:
    """Reason why a command is rejected as a whole. `code` is stable for the same cause; `detail` says what to do."""

    code: str
    detail: str
    status: int = 422
    """HTTP status."""
    line: int | None = None
    """Number of the first invalid item, counted from 1; in a file its line."""
    retry_after_s: float | None = None
    """Seconds after which a retry may succeed; None unless the limits on waiting items are exceeded."""
    batch_id: UUID | None = None
    items: int | None = None
    """For an interrupted upload: the batch that stays open, and the number of its items."""
    pointer: str | None = None
    """JSON Pointer to the wrong value."""
    column: int | None = None
    """Number of the character of the line, or of the column of a CSV file."""
    is_final: bool = False
    """True if the rest of the file cannot be read because of it."""
    errors: tuple[InputError, ...] = ()
    """All wrong items and fields as far as they are listed; empty for a rejection with a single reason."""
    error_count: int = 0
    """Number of all wrong items and fields."""

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line is not None else ""
        return f"{self.code}{place}: {self.detail}"

    def at(self, line: int) -> "Rejection":
        """Return the rejection with the line where it was found."""
        return replace(self, line=line)

    def below(self, pointer: str) -> "Rejection":
        """Return the rejection with its pointers from a place above the one that they start from now."""
        errors = tuple(
            error.model_copy(update={"pointer": (pointer + (error.pointer or ""))[:1000]}) for error in self.errors
        )
        return replace(self, pointer=pointer + (self.pointer or ""), errors=errors)

    def as_error(self) -> InputError:
        """Return the rejection as one of the errors of a command."""
        return InputError(
            code=self.code,
            detail=self.detail,
            pointer=self.pointer[:1000] if self.pointer is not None else None,
            line=self.line,
            column=self.column,
        )


ID_TAKEN = Rejection("idempotency_conflict", "The id was used for another command. Use a new one.", 409)


@dataclass(slots=True)
class RejectionList:
    """Rejections of the items of one command or file: the first hundred, and the number of all."""

    found: list[Rejection] = field(default_factory=list)
    count: int = 0
    is_cut: bool = False
    """True if items that follow were not looked at."""

    def add(self, rejection: Rejection) -> None:
        """Add the rejection of one more item."""
        self.count += 1
        if len(self.found) < MAX_INPUT_ERRORS:
            self.found.append(rejection)

    @property
    def has_room(self) -> bool:
        """True while a further rejection would be listed."""
        return len(self.found) < MAX_INPUT_ERRORS

    def summary(self) -> Rejection | None:
        """Return one rejection that lists them all, with the code and the words of the first; None if there is none."""
        if not self.found:
            return None
        first = self.found[0]
        more = f" {self.count - 1} more {'is' if self.count == 2 else 'are'} wrong." if self.count > 1 else ""
        cut = " The rest was not read." if self.is_cut else ""
        return replace(
            first,
            detail=first.detail + more + cut,
            errors=tuple(rejection.as_error() for rejection in self.found),
            error_count=self.count,
        )
