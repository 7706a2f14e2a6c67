"""Place in the results of a batch, and the cursor that names it."""

from dataclasses import dataclass
from typing import Self

from batchyard_contracts.v1.queries import StreamOrder


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Place after an outcome: by ordinal its `major` is the ordinal, by completion the version of the batch that was
    saved with the outcome, and its `minor` the place among the outcomes of that version."""

    order: StreamOrder
    major: int
    minor: int = 0

    @classmethod
    def start(cls, order: StreamOrder) -> Self:
        """Return the place before the first outcome."""
        return cls(order, -1) if order == "ordinal" else cls(order, -(2**31))

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place of a cursor that the contract permits."""
        if cursor.startswith("o"):
            return cls("ordinal", int(cursor[1:]))
        major, _, minor = cursor[1:].partition(".")
        return cls("completion", int(major), int(minor))

    def moved(self, major: int, minor: int) -> Self:
        """Return another place in the same order."""
        return type(self)(self.order, major, minor)

    @property
    def cursor(self) -> str:
        """Cursor of the place."""
        return f"o{self.major}" if self.order == "ordinal" else f"c{self.major}.{self.minor}"
