"""Turns the result of a source into its outcome, and into the items that are published before it is reported."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.flow import ItemOutcome, SourceExpanded
from batchyard_contracts.v1.values import NewItem
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Expansion, Permanent
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome

MAX_ITEMS = 10_000
"""Number of items that one run of a source may find; more are returned with a state."""
_PART_ITEMS = 1000
_PART_BYTES = 1024 * 1024
_MAX_ITEM_BYTES = MAX_MESSAGE_BYTES - 1024
"""Largest payload that fits into a message to ingest, which checks the limit of an item."""


class _ItemTooLargeError(Exception):
    """An item that a source found fits into no message."""


class SourceOutcome(ItemOutcome):
    """The outcome of a source that found items. It is never published as it is, see `split_sources`."""

    first_part: Annotated[int, Field(ge=0)]
    """Sequence number of the first part."""
    parts: list[list[NewItem]]
    source_units: int | None = None


def parts_sent(item: ChunkItem) -> int:
    """Return how many parts earlier runs of a source have published."""
    state: Any = item.state
    return state["sequence"] if isinstance(state, dict) else 0


def source_state(item: ChunkItem) -> Any:
    """Return the state that the source's last run returned."""
    return item.state.get("state") if isinstance(item.state, dict) else None


def outcome_of(item: ChunkItem, value: Any, elapsed_ms: int) -> Outcome:
    """Return the outcome of a source that returned."""
    first_part = parts_sent(item)
    if not isinstance(value, Expansion):
        outcome = domain.from_result(item, value, elapsed_ms)
        if outcome.status != "continued":
            return outcome
        return outcome.model_copy(update={"state": {"sequence": first_part, "state": outcome.state}})
    if len(value.items) > MAX_ITEMS:
        message = (
            f"The source found {len(value.items)} items at once; at most {MAX_ITEMS} are taken. Give them with a state."
        )
        return domain.from_handler(item, Permanent("source_too_large", message), elapsed_ms)
    try:
        parts = list(_parts(NewItem(payload=one.model_dump(mode="json")) for one in value.items))
        more = value.state is not None
        parts = parts if parts or more else [[]]
        continuation = {"state": {"sequence": first_part + len(parts), "state": value.state}, "delay_s": 0.0}
        result = value.result
        if isinstance(result, BaseModel):
            result = result.model_dump(mode="json")
        outcome = SourceOutcome(
            ordinal=item.ordinal,
            custom_id=item.custom_id,
            status="continued" if more else "succeeded",
            elapsed_ms=elapsed_ms,
            first_part=first_part,
            parts=parts,
            source_units=value.units,
            **(continuation if more else {"result": result}),
        )
        to_json(outcome)
    except _ItemTooLargeError as error:
        return domain.from_handler(item, Permanent("source_too_large", str(error)), elapsed_ms)
    except Exception as error:  # noqa: BLE001  the items' own code runs here: fields and serializers
        message = f"What the source found cannot be written as JSON: {type(error).__name__}."
        return domain.from_handler(item, Permanent("invalid_result", message), elapsed_ms)
    return outcome


def split_sources(chunk: ChunkReady, outcomes: Sequence[Outcome]) -> tuple[list[SourceExpanded], list[Outcome]]:
    """Return the items that sources found, to be published first, and all outcomes without them."""
    sent, plain = list[SourceExpanded](), list[Outcome]()
    for outcome in outcomes:
        if isinstance(outcome, SourceOutcome):
            sent += _messages(chunk, outcome)
            fields = {name: getattr(outcome, name) for name in ItemOutcome.model_fields}
            outcome = ItemOutcome.model_construct(**fields)  # noqa: PLW2901
        plain.append(outcome)
    return sent, plain


def _messages(chunk: ChunkReady, outcome: SourceOutcome) -> Iterator[SourceExpanded]:
    for number, part in enumerate(outcome.parts, 1):
        last = outcome.status == "succeeded" and number == len(outcome.parts)
        yield SourceExpanded(
            batch_id=chunk.batch_id,
            owner=chunk.owner,
            sequence=outcome.first_part + number - 1,
            items=part,
            last=last,
            units=outcome.source_units if last else None,
        )


def _parts(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """Split items into lists that each fit into a message; raises `_ItemTooLargeError`."""
    part, size = list[NewItem](), 0
    for place, item in enumerate(items):
        item_size = len(to_json(item.payload))
        if item_size > _MAX_ITEM_BYTES:
            raise _ItemTooLargeError(
                f"The item at place {place} of those that the source found has {item_size} bytes; at most "
                f"{_MAX_ITEM_BYTES} can be sent. Find smaller items."
            )
        if part and (len(part) >= _PART_ITEMS or size + item_size > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part
