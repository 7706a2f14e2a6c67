"""Makes the items of a follow-up batch from the results of the batch before."""

from collections.abc import Iterator
from typing import Any

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.templates import FollowUpItems


class FollowUpItemMaker:
    """The rule of one follow-up, with its pointers parsed."""

    def __init__(self, rule: FollowUpItems) -> None:
        self._place = CompiledPointer(rule.pointer)
        self._fields = {name: CompiledPointer(pointer) for name, pointer in rule.payload.items()}
        self._constants = rule.constants

    def items(self, result: Any) -> Iterator[dict[str, Any]]:
        """Yield the items that one result gives."""
        found = self._place.find(result)
        if found is MISSING or found is None:
            return
        for value in found if isinstance(found, list) else [found]:
            payload = self._payload(value)
            if payload is not MISSING:
                yield {"payload": payload}

    def _payload(self, value: Any) -> Any:
        """Return the payload that a value gives, or MISSING where it has none of the fields."""
        if self._fields:
            found = {name: pointer.find(value) for name, pointer in self._fields.items()}
            value = {name: field for name, field in found.items() if field is not MISSING} or MISSING
        if self._constants and isinstance(value, dict):
            return value | self._constants
        return value
