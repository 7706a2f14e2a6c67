"""Outcomes of items that will not run again: all of them, in messages that fit."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.settlement.settler import ItemSettler
from shared.messaging.publisher import OutgoingMessage

BATCH = UUID("019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70")


async def test_a_long_error_of_a_provider_for_many_items_fits_its_messages() -> None:
    published: list[OutgoingMessage] = []

    async def publish(messages: Sequence[OutgoingMessage]) -> None:
        published.extend(messages)

    unused = cast("Any", None)
    settler = ItemSettler(unused, cast("Any", SimpleNamespace(publish=publish)), unused, unused)
    error = ItemError(code="provider_down", message="€" * 2000, scope="provider")
    items = [SettledItem(ordinal=n, error=error, partition="p") for n in range(1500)]
    await settler.publish(BATCH, 2, "failed", items, "trace", aside=True)
    assert all(len(message.body) <= MAX_MESSAGE_BYTES for message in published)
    assert [item for each in published for item in ItemsSettled.decode(each.body).items] == items
    assert {(m.exchange, m.routing_key, m.type, m.correlation_id, m.traceparent) for m in published} == {
        ("batchyard.flow", "aside.items.settled.v1", "items.settled.v1", str(BATCH), "trace")
    }
