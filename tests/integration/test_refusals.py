"""Refused commands: their senders are told, and an owner who sends many of them is no burden for others."""

import asyncio

import orjson
import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchSeal, BatchSubmit, CommandAccepted, CommandRejected
from batchyard_contracts.v1.events import BatchRejected
from batchyard_contracts.v1.values import NewItem
from devstack import Servers
from services.ingest.api import amqp
from shared.messaging import refusals
from shared.messaging.dead_letters import REASON
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import IngestHarness, running_ingest

SUBMIT = BatchSubmit.type
GOOD = BatchSubmit(workload="squares", items=[NewItem(payload={"n": 1})]).encode()
BAD = orjson.dumps({"workload": "squares", "items": [{"payload": {"n": -1}}]})
HOSTILE = "guest"
"""The broker's user. Commands without one are those of the owner `default`."""


async def flood(harness: IngestHarness, count: int, body: bytes = BAD) -> None:
    """Send invalid commands as the hostile owner, who waits for no reply; return when all were refused."""
    for _ in range(count):
        await harness.begin_command(SUBMIT, body, user_id=HOSTILE, reply_to=None)
    last = await harness.raw_command(SUBMIT, BAD, user_id=HOSTILE)
    assert isinstance(last, CommandRejected)


async def test_a_command_that_nobody_could_be_told_about_becomes_a_dead_letter(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.begin_command(SUBMIT, BAD, reply_to=None)
        (event,) = await harness.wait_for(BatchRejected)
        assert event.code == "invalid_item"
        await harness.hear_no_events()
        await harness.begin_command(SUBMIT, BAD, reply_to="amq.gen-of-a-client-that-has-gone")
        letter = await harness.dead_letter()
        assert letter.body == BAD
        assert "invalid_item (line 1)" in str(letter.headers[REASON])
        assert await harness.dead_letters() == 0, "a subscriber was told about the first"


async def test_an_owner_with_many_invalid_commands_fills_no_queue_and_holds_up_nobody(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_INVALID", 20)
    monkeypatch.setattr(refusals, "MAX_LETTERS", 30)
    async with running_ingest(clean) as harness:
        await harness.hear_no_events()
        await flood(harness, 100)
        assert await harness.dead_letters() == 30

        throttled = await harness.raw_command(SUBMIT, GOOD, user_id=HOSTILE)
        assert isinstance(throttled, CommandRejected)
        assert (throttled.code, throttled.status) == ("too_many_refused", 429)
        assert throttled.retry_after_s is not None
        assert 0 < throttled.retry_after_s <= refusals.INVALID_PERIOD_S
        assert isinstance(await harness.raw_command(SUBMIT, GOOD), CommandAccepted), "another owner is not concerned"
        refused = await harness.raw_command(SUBMIT, BAD)
        assert isinstance(refused, CommandRejected)
        assert refused.code == "invalid_item"
        assert await harness.dead_letters() == 30


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses in which commands to a missing batch wait: their predecessor may be in progress elsewhere."""
    pauses = (0.151, 0.152)
    monkeypatch.setattr(amqp, "_RETRY_DELAYS_S", pauses)
    made: list[float] = []
    sleep = asyncio.sleep

    async def record(delay_s: float, result: object = None) -> object:
        if delay_s in pauses:
            made.append(delay_s)
        return await sleep(delay_s, result)

    monkeypatch.setattr(asyncio, "sleep", record)
    return made


def seal(batch_id: object) -> bytes:
    return BatchSeal.model_validate({"batch_id": str(batch_id)}).encode()


async def test_an_owner_who_names_missing_batches_soon_waits_no_more(
    clean: Servers, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr(amqp, "MAX_VAIN_WAITS", 3)
    async with running_ingest(clean) as harness:
        for _ in range(10):
            reply = await harness.raw_command(BatchSeal.type, seal(new_batch_id()), user_id=HOSTILE)
            assert isinstance(reply, CommandRejected)
            assert reply.code == "batch_not_found"
    assert len(waits) == 3 * len(amqp._RETRY_DELAYS_S)


async def test_commands_behind_one_that_waited_in_vain_do_not_wait(clean: Servers, waits: list[float]) -> None:
    missing = seal(new_batch_id())
    async with running_ingest(clean) as harness:
        waiting = [await harness.begin_command(BatchSeal.type, missing, user_id=HOSTILE) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S):
            replies = [CommandRejected.decode((await each).body) for each in waiting]
    assert {reply.code for reply in replies} == {"batch_not_found"}
    assert len(waits) < 10, "each alone would have waited twice"
