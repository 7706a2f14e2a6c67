"""Applies a JSON Patch (RFC 6902) from a client to JSON documents: checked once, with a bound on what it copies."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointer, JsonPointerException
from pydantic_core import to_json

MAX_PATCH_BYTES = 64 * 1024
"""Largest patch, in bytes of its JSON text."""


class PatchError(ValueError):
    """The patch is invalid or does not apply to a document; the message gives the reason."""


class Patch:
    """A patch that can be applied to many documents. Raises `PatchError` for an invalid patch.

    `max_bytes`: the largest size, as JSON text, of all that the `copy` operations add to a document.
    """

    def __init__(self, operations: Sequence[Mapping[str, Any]], max_bytes: int) -> None:
        if len(to_json(operations)) > MAX_PATCH_BYTES:
            raise PatchError(f"a patch has at most {MAX_PATCH_BYTES} bytes")
        self._max_bytes = max_bytes
        self._steps: list[tuple[JsonPointer | None, JsonPatch]] = []
        """Operations, each with the pointer to what it copies. Copies of copies would fill the memory, so each is
        measured before."""
        try:
            for operation in operations:
                is_copy = operation.get("op") == "copy" and "from" in operation
                self._steps.append((JsonPointer(operation["from"]) if is_copy else None, JsonPatch([operation])))
        except (JsonPatchException, JsonPointerException, TypeError) as error:
            raise PatchError(_brief(error)) from error

    def apply(self, document: Any) -> Any:
        """Return the changed document, a new one. Raises `PatchError` if the patch does not apply."""
        copied = 0
        try:
            document = deepcopy(document)
            for source, step in self._steps:
                if source is not None:
                    copied += len(to_json(source.resolve(document)))
                    if copied > self._max_bytes:
                        raise PatchError(f"the patch copies over {self._max_bytes} bytes")
                document = step.apply(document, in_place=True)
        except (JsonPatchException, JsonPointerException, TypeError, RecursionError) as error:
            raise PatchError(_brief(error)) from error
        return document


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:300] or type(error).__name__
