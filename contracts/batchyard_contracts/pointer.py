"""JSON Pointers (RFC 6901), parsed once and followed a million times."""

from typing import Any, Final

MISSING: Final = object()
"""What is found where there is nothing: JSON's null is a value."""


class CompiledPointer:
    """A parsed pointer. What it may look like is said by `batchyard_contracts.v1.manifest.Pointer`."""

    def __init__(self, pointer: str) -> None:
        self._parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])

    def find(self, document: Any) -> Any:
        """The value that the pointer names, or `MISSING`."""
        for part in self._parts:
            if isinstance(document, dict):
                document = document.get(part, MISSING)
            elif isinstance(document, list) and part.isascii() and part.isdigit() and int(part) < len(document):
                document = document[int(part)]
            else:
                return MISSING
        return document
