"""Messages that ingest derives from valid commands fit the limit of a message, or the command is refused before."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Message
from batchyard_contracts.v1.commands import CacheInvalidate
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem
from batchyard_contracts.v1.queries import WorkloadQuery
from batchyard_contracts.v1.values import ItemError
from services.ingest.control.cache_invalidator import CacheInvalidator
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.pager import EncodedMessage
from services.ingest.persistence.audit_log import AuditLog
from services.ingest.persistence.store import outbox_messages
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.seal import settled_messages
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.rpc_client import RpcClient

BATCH = UUID("019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_message_over_the_limit_is_refused_before_it_is_committed() -> None:
    fits = EncodedMessage("batch.controlled.v1", b"x" * MAX_MESSAGE_BYTES)
    assert len(outbox_messages([fits, fits], None)) == 2
    with pytest.raises(IngestError, match="Shorten the request") as raised:
        outbox_messages([fits, EncodedMessage("batch.controlled.v1", b"x" * (MAX_MESSAGE_BYTES + 1))], None)
    assert raised.value.rejection.status == 413


@pytest.mark.parametrize("letter", ["x", "😀", "\x01"])
def test_the_longest_reasons_of_many_items_fit_their_messages(letter: str) -> None:
    error = ItemError(code="invalid_item", message=letter * 2000)
    items = [SettledItem(ordinal=n, custom_id=letter * 128, error=error) for n in range(1010)]
    messages = settled_messages(BATCH, "failed", items)
    assert all(message.type == ItemsSettled.type and len(message.body) <= MAX_MESSAGE_BYTES for message in messages)
    settled = [ItemsSettled.decode(message.body) for message in messages]
    assert [item for each in settled for item in each.items] == items
    assert {(each.batch_id, each.round, each.status) for each in settled} == {(BATCH, 1, "failed")}


async def test_a_payload_to_forget_that_fits_no_message_is_refused() -> None:
    async def get(name: str) -> Any:
        return SimpleNamespace(manifest=SimpleNamespace(name=name, version="1", dedup=None, cache_ttl_s=1))

    async def publish(messages: Sequence[OutgoingMessage]) -> None:
        raise AssertionError(messages)

    invalidator = CacheInvalidator(
        cast("WorkloadRegistry", SimpleNamespace(get=get)),
        cast("Publisher", SimpleNamespace(publish=publish)),
        cast("AuditLog", SimpleNamespace()),
        lambda: AT,
    )
    with pytest.raises(IngestError) as raised:
        await invalidator.invalidate(CacheInvalidate(workload="w", payload={"a": "x" * MAX_MESSAGE_BYTES}))
    assert raised.value.rejection.status == 413


async def test_a_question_that_fits_no_message_is_refused() -> None:
    client = AggregatorClient(RpcClient(cast("Any", None), "ingest"))
    request: dict[str, Any] = {"a": "x" * MAX_MESSAGE_BYTES}
    with pytest.raises(IngestError) as raised:
        await client.ask(WorkloadQuery(workload="w", question="q", request=request), 1.0)
    assert raised.value.rejection.status == 413


async def test_a_reply_that_cannot_be_read_is_a_failed_query() -> None:
    """Before, one result that is nested too deep made the answer 500."""
    client = RpcClient(cast("Any", None), "ingest")

    async def ask(query: Message, body: bytes, timeout_s: float, exchange: str) -> Any:
        del query, body, timeout_s, exchange
        return SimpleNamespace(type="results.reply.v1", body=b'{"items":' + b"[" * 300)

    client._ask = ask  # type: ignore[method-assign]
    with pytest.raises(IngestError, match="cannot be read") as raised:
        await AggregatorClient(client).results(cast("Any", WorkloadQuery(workload="w", question="q", request={})))
    assert raised.value.rejection.status == 502
