"""Applies a JSON Patch (RFC 6902) from a client to JSON documents: checked once, with a bound on the result's size."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException
from pydantic_core import to_json

MAX_PATCH_BYTES = 64 * 1024
"""Largest patch, in bytes of its JSON text."""


class PatchError(ValueError):
    """The patch is invalid or does not apply to a document; the message gives the reason."""


class Patch:
    """A patch that can be applied to many documents. Raises `PatchError` for an invalid patch.

    `max_bytes`: the largest document, as JSON text, that a `copy` operation may produce.
    """

    def __init__(self, operations: Sequence[Mapping[str, Any]], max_bytes: int) -> None:
        if len(to_json(operations)) > MAX_PATCH_BYTES:
            raise PatchError(f"a patch has at most {MAX_PATCH_BYTES} bytes")
        self._max_bytes = max_bytes
        self._steps: list[tuple[JsonPatch, bool]] = []
        plain: list[Mapping[str, Any]] = []
        try:
            for operation in operations:
                plain.append(operation)
                if operation.get("op") == "copy":  # each may double the document, so its size is checked after each
                    self._steps.append((JsonPatch(plain), True))
                    plain = []
            if plain:
                self._steps.append((JsonPatch(plain), False))
        except (JsonPatchException, JsonPointerException, TypeError) as error:
            raise PatchError(_brief(error)) from error

    def apply(self, document: Any) -> Any:
        """Return the changed document, a new one. Raises `PatchError` if the patch does not apply."""
        try:
            for step, grows in self._steps:
                document = step.apply(document)
                if grows and len(to_json(document)) > self._max_bytes:
                    raise PatchError(f"the document grows over {self._max_bytes} bytes")
        except (JsonPatchException, JsonPointerException, TypeError, RecursionError) as error:
            raise PatchError(_brief(error)) from error
        return document


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:300] or type(error).__name__
