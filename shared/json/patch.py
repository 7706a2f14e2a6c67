"""Changes JSON documents by a JSON Patch (RFC 6902) that comes from outside: checked once, bounded in what it makes."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException
from pydantic_core import to_json

MAX_PATCH_BYTES = 64 * 1024
"""A patch as JSON."""


class PatchError(ValueError):
    """The patch is none, or does not fit a document; the message says why."""


class Patch:
    """A patch that can be applied to many documents. Raises `PatchError` when it is none."""

    def __init__(self, operations: Sequence[Mapping[str, Any]], most_bytes: int) -> None:
        if len(to_json(operations)) > MAX_PATCH_BYTES:
            raise PatchError(f"a patch has at most {MAX_PATCH_BYTES} bytes")
        self._most_bytes = most_bytes
        self._steps: list[tuple[JsonPatch, bool]] = []
        plain: list[Mapping[str, Any]] = []
        try:
            for operation in operations:
                plain.append(operation)
                if operation.get("op") == "copy":  # each may double the document: it is measured after each
                    self._steps.append((JsonPatch(plain), True))
                    plain = []
            if plain:
                self._steps.append((JsonPatch(plain), False))
        except (JsonPatchException, JsonPointerException, TypeError) as error:
            raise PatchError(_brief(error)) from error

    def apply(self, document: Any) -> Any:
        """The changed document; the given one stays as it is. Raises `PatchError` when the patch does not fit."""
        try:
            for step, grows in self._steps:
                document = step.apply(document)
                if grows and len(to_json(document)) > self._most_bytes:
                    raise PatchError(f"the document grows over {self._most_bytes} bytes")
        except (JsonPatchException, JsonPointerException, TypeError, RecursionError) as error:
            raise PatchError(_brief(error)) from error
        return document


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:300] or type(error).__name__
