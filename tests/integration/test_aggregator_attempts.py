"""The last five failed attempts of an item are kept, and an item that succeeds at once writes nothing more."""

from uuid import uuid4

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.queries import AttemptsQuery, AttemptsReply
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from tests.support.ledger_messages import BATCH, accepted, processed
from tests.support.running_aggregator import Neighbours, at_work


def retry(ordinal: int, code: str) -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="retry", error=ItemError(code=code, message=f"of {code}"), elapsed_ms=9)


async def attempts(around: Neighbours, ordinal: int = 0, owner: str = "ann") -> AttemptsReply:
    return await around.query(AttemptsQuery(owner=owner, batch_id=BATCH, ordinal=ordinal), AttemptsReply)


async def test_the_last_five_are_kept_the_newest_first(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(2))
        for number in range(1, 8):
            report = processed(
                {0: retry(0, f"error_{number}"), **({1: "succeeded"} if number == 1 else {})}, attempt=number
            )
            await around.send(report, report)  # as after a crash
            await around.until_row("SELECT * FROM attempts WHERE attempt = $1", number)
        await around.send(processed({0: "succeeded"}, attempt=8))
        await around.finished()
        found = (await attempts(around)).attempts
        assert [(one.attempt, one.error.code) for one in found] == [(n, f"error_{n}") for n in range(7, 2, -1)]
        assert (found[0].error.message, found[0].elapsed_ms, found[0].round) == ("of error_7", 9, 1)
        assert len(await around.rows("SELECT * FROM attempts")) == 5
        assert (await attempts(around, 1)).attempts == []

        assert not (await attempts(around, owner="bob")).found
        unknown = AttemptsQuery(owner="ann", batch_id=uuid4(), ordinal=0)
        assert not (await around.query(unknown, AttemptsReply)).found


async def test_a_further_round_replaces_the_attempts_of_earlier_ones(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(1))
        for round_, number in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2)):
            await around.send(processed({0: retry(0, "busy")}, round_=round_, attempt=number))
            await around.until_row("SELECT * FROM attempts WHERE round = $1 AND attempt = $2", round_, number)
        found = (await attempts(around)).attempts
        assert [(one.round, one.attempt) for one in found] == [(2, 2), (2, 1), (1, 3)]
        await around.execute("DELETE FROM batches")
        assert await around.rows("SELECT * FROM attempts") == []
