"""JSON Pointers (RFC 6901), parsed once and resolved many times."""

from collections.abc import Iterable
from typing import Any, Final

MISSING: Final = object()
"""Result of a pointer that finds nothing; None is not used for it, because JSON's null is a value."""


class CompiledPointer:
    """Parsed pointer; `batchyard_contracts.v1.manifest.Pointer` is its syntax."""

    def __init__(self, pointer: str) -> None:
        self._parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])

    def find(self, document: Any) -> Any:
        """Value at the pointer, or `MISSING`."""

        for part in self._parts:
            if isinstance(document, dict):
                document = document.get(part, MISSING)
            elif isinstance(document, list) and part.isascii() and part.isdigit() and int(part) < len(document):
                document = document[int(part)]
            else:
                return MISSING
        return document


def pointer_to(parts: Iterable[str | int]) -> str:
    """Return the JSON Pointer that leads through these names and positions."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
