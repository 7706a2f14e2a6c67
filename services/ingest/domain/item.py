"""Validates items of commands, uploads and sources."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

from batchyard_contracts.v1.values import NewItem
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.json_shape import has_non_finite_number
from services.ingest.domain.rejection import Rejection, RejectionList

_NOT_JSON = Rejection("invalid_item", "NaN and infinite numbers are not JSON. Send null or text.")


class ValidatedItem(NamedTuple):
    """An accepted item. `raw` is its payload as JSON, which is forwarded unchanged."""

    ordinal: int
    raw: bytes
    custom_id: str | None
    partition: str
    fingerprint: bytes | None
    source: bool = False
    """True for a source, which expands to the other items of its batch."""


def validate_item(
    validator: ItemValidator, ordinal: int, payload: Any, raw: bytes, custom_id: str | None, *, explain: bool = True
) -> ValidatedItem | Rejection:
    """Validate one item; returns the rejection of an invalid one, which without `explain` may have no words."""
    rejection = validator.check(payload, raw, explain=explain)
    if rejection is not None:
        return rejection
    return ValidatedItem(ordinal, raw, custom_id, validator.partition(payload), validator.fingerprint(payload))


def validate_source(validator: ItemValidator, source: Any) -> ValidatedItem | Rejection:
    """Validate the source of a batch. It belongs to the partition that an item with the same fields would have, so that
    it keeps the same limits."""
    raw = to_json(source, inf_nan_mode="constants")
    if (b"NaN" in raw or b"Infinity" in raw) and has_non_finite_number(source):
        return _NOT_JSON
    if (rejection := validator.check_source(source, raw)) is not None:
        return rejection
    return ValidatedItem(0, raw, None, validator.partition(source), None, source=True)


def validate_items(validator: ItemValidator, items: Sequence[NewItem], first: int) -> list[ValidatedItem] | Rejection:
    """Validate the items of a command; the rejection lists the invalid ones, counted from 1."""
    validated: list[ValidatedItem] = []
    rejections = RejectionList()
    for index, item in enumerate(items):
        result = validate_item_of_command(validator, first + index, item, index, explain=rejections.has_room)
        if isinstance(result, Rejection):
            rejections.add(result)
        else:
            validated.append(result)
    return rejections.summary() or validated


def validate_item_of_command(
    validator: ItemValidator, ordinal: int, item: NewItem, index: int, *, explain: bool
) -> ValidatedItem | Rejection:
    """Validate the item with this index in a command; a rejection has its place, counted from 1."""
    raw = to_json(item.payload, inf_nan_mode="constants")
    result: ValidatedItem | Rejection = _NOT_JSON
    if not ((b"NaN" in raw or b"Infinity" in raw) and has_non_finite_number(item.payload)):
        result = validate_item(validator, ordinal, item.payload, raw, item.custom_id, explain=explain)
    return result.at(index + 1).below(f"/items/{index}/payload") if isinstance(result, Rejection) else result
