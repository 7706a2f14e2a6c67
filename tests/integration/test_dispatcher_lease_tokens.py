"""Each chunk has a token for its own items, if there is a key; a chunk that is sent again has another one."""

from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.v1.flow import ChunkReturned, ItemOutcome
from batchyard_contracts.v1.work import ChunkReady
from devstack import Servers
from shared.messaging.batch_consumer import DecodedMessage
from tests.support.dispatcher_parts import ENVELOPE, dispatcher_parts, report_on

KEY = "a-key-that-no-worker-needs-to-know"


def leased(chunk: ChunkReady, among: int) -> list[int]:
    """Return the ordinals, below a number, of the items that a report on this chunk may end."""
    found = LeaseTokens([KEY]).ordinals(report_on(chunk, []), chunk.lease)
    assert found is not None
    return [ordinal for ordinal in range(among) if ordinal in found]


async def test_a_token_is_for_the_items_of_its_chunk_and_for_one_dispatch(clean: Servers) -> None:
    async with dispatcher_parts(clean, lease_keys=KEY) as make:
        parts = make()
        parts.add_workload("w")
        async with parts.dispatching():
            await parts.add_batch({"a": 2, "b": 1})
            await parts.until(lambda: sum(len(chunk.items) for chunk in parts.outbox.chunks) == 3)
        chunks = list(parts.outbox.chunks)
        assert [leased(chunk, 10) for chunk in chunks] == [[i.ordinal for i in chunk.items] for chunk in chunks]
        first = max(chunks, key=lambda chunk: len(chunk.items))
        await parts.report(
            first, [ItemOutcome(ordinal=first.items[0].ordinal, status="succeeded", result={})], final=False
        )
        same = first.model_dump(include={"chunk_id", "fence", "batch_id", "workload"})
        returned = ChunkReturned.model_validate(same | {"worker_id": "hand", "reason": "stopping"})
        await parts.recovery.on_chunks_returned([DecodedMessage(returned, ENVELOPE)])
        again = parts.outbox.chunks[-1]
        assert (again.chunk_id, again.fence) == (first.chunk_id, 2)
        assert leased(again, 10) == [item.ordinal for item in again.items]
        assert LeaseTokens([KEY]).ordinals(report_on(again, []), first.lease) is None


async def test_without_a_key_there_is_no_token(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        parts = make()
        parts.add_workload("w")
        async with parts.dispatching():
            await parts.add_batch({"": 1})
            await parts.until(lambda: bool(parts.outbox.chunks))
        assert parts.outbox.chunks[0].lease is None
