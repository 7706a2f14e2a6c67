"""An item's path can be read from top to bottom, since its messages enter few modules of each service."""

import uuid

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted, ItemOutcome
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from tests.support.consumer_harness import chunk, consumer_harness
from tests.support.dispatcher_parts import dispatcher_parts, page_of, received, report_on
from tests.support.entered_modules import entered_modules
from tests.support.ledger_messages import accepted, processed
from tests.support.running_aggregator import at_work
from tests.support.running_ingest import running_ingest


async def test_a_submission_enters_at_most_twelve_modules_of_ingest(clean: Servers) -> None:
    command = BatchSubmit(workload="squares", items=[NewItem(payload={"n": n}) for n in range(3)])
    async with running_ingest(clean) as harness:
        with entered_modules("ingest") as found:
            assert isinstance(await harness.command(command), CommandAccepted)
            await harness.wait_for(BatchAccepted)
    assert len(found) <= 12, sorted(found)
    assert "submission/submit.py" in found


async def test_a_page_and_a_report_enter_at_most_nine_modules_of_the_dispatcher(clean: Servers) -> None:
    async with dispatcher_parts(clean) as make:
        dispatcher, batch_id = make(), uuid.uuid4()
        dispatcher.add_workload("w")
        await dispatcher.accept(batch_id)
        page = page_of(batch_id, {"": 3})
        with entered_modules("dispatcher") as found:
            await dispatcher.intake.on_items_pages([received(page)])
        async with dispatcher.dispatching():
            await dispatcher.until(lambda: bool(dispatcher.outbox.chunks))
        (chunk,) = dispatcher.outbox.chunks
        ended = [ItemOutcome(ordinal=item.ordinal, status="succeeded", result={}) for item in chunk.items]
        report = report_on(chunk, ended, ended=len(ended))
        with entered_modules("dispatcher") as by_report:
            await dispatcher.report_handler.on_chunks_processed([received(report)])
        assert dict(dispatcher.state.leases) == {}
        found |= by_report
    assert len(found) <= 9, sorted(found)
    assert {"intake/batches.py", "outcomes/report_handler.py"} <= found


async def test_a_chunk_enters_at_most_twelve_modules_of_the_worker() -> None:
    async with consumer_harness() as worker:
        worker.gate.set()
        with entered_modules("worker", "chunk consumer") as found:
            await worker.broker.deliver(chunk(1), "chunk")
            await worker.broker.until(lambda: worker.broker.acknowledged == ["chunk"])
        assert worker.statuses == ["succeeded"]
    assert len(found) <= 12, sorted(found)
    assert {"consuming/chunk_consumer.py", "execution/report_writer.py"} <= found


async def test_a_report_enters_at_most_eleven_modules_of_the_aggregator(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(2))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        with entered_modules("aggregator", "outcomes", "outbox", "progress") as found:
            await around.send(processed({0: "succeeded", 1: "succeeded"}))
            (end,) = await around.finished()
        assert end.result == "completed"
    assert len(found) <= 11, sorted(found)
    assert {"handlers/outcomes.py", "persistence/store.py"} <= found
