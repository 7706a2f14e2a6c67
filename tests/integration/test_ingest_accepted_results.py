"""Refused results that are accepted by hand, by HTTP and AMQP: what is forwarded, audited and rejected."""

from uuid import UUID

from batchyard_contracts.v1.commands import CommandAccepted, CommandRejected, ResultsAccept
from batchyard_contracts.v1.flow import ResultsAccepted
from batchyard_contracts.v1.queries import HistoryQuery, HistoryReply, SelectionQuery, SelectionReply
from devstack import Servers
from tests.integration.test_ingest_steering import aggregator_replies, batch
from tests.support.running_ingest import running_ingest

REASON = "the schema was too strict"


async def test_results_are_accepted_once_and_the_audit_says_why(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        aggregator_replies(harness, "finished")
        asked: list[SelectionQuery] = []

        def selection(query: SelectionQuery) -> SelectionReply:
            asked.append(query)
            return SelectionReply(round=1, count=2)

        harness.answers |= {SelectionQuery: selection, HistoryQuery: lambda _: HistoryReply()}
        path, body = f"/batches/{batch_id}/accept-results", {"ordinals": [3], "custom_ids": ["a"], "reason": REASON}
        key = {"Idempotency-Key": "k1"}
        answers = [await harness.post(path, json=body, headers=key) for _ in range(2)]
        assert [(status, reply.get("accepted"), reply.get("replayed")) for status, reply in answers] == [
            (202, 2, False),
            (202, None, True),
        ]
        (message,) = await harness.wait_for(ResultsAccepted)
        assert (message.owner, message.round) == ("default", 1)
        assert (message.ordinals, message.custom_ids) == ([3], ["a"])
        assert asked[0].select is not None
        assert (asked[0].select.codes, asked[0].select.ordinals) == (["invalid_result"], [3])
        _, audit = await harness.get("/audit?action=batch.accept")
        (entry,) = audit["entries"]
        assert entry["after"] == {"round": 2, "items": 2, "reason": REASON}
        _, timeline = await harness.get(f"/batches/{batch_id}/timeline")
        kinds = [(one["kind"], one.get("reason")) for one in timeline["entries"]]
        assert ("results_accepted", REASON) in kinds
        (row,) = await harness.rows("SELECT round, done FROM batches")
        assert row == {"round": 2, "done": False}, "a second command waits for the end of that round"
        assert (await harness.post(path, json=body))[1]["code"] == "not_finished"


async def test_both_doors_reject_results_that_cannot_be_accepted(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        command = ResultsAccept(batch_id=batch_id, reason=REASON)
        aggregator_replies(harness, "running")
        answer = await harness.command(command)
        assert isinstance(answer, CommandRejected)
        assert (answer.code, answer.status) == ("not_finished", 409)
        aggregator_replies(harness, "finished")
        harness.answers[SelectionQuery] = lambda _: SelectionReply(round=1, count=0)
        answer = await harness.command(command)
        assert isinstance(answer, CommandRejected)
        assert (answer.code, answer.status) == ("nothing_to_accept", 409)
        absent = await harness.command(command.model_copy(update={"batch_id": UUID(int=batch_id.int + 1)}))
        assert isinstance(absent, CommandRejected)
        assert absent.code == "batch_not_found"
        without_reason = await harness.post(f"/batches/{batch_id}/accept-results", json={"ordinals": [0]})
        assert (without_reason[0], without_reason[1]["errors"][0]["pointer"]) == (422, "/reason")
        assert harness.all(ResultsAccepted) == []
        harness.answers[SelectionQuery] = lambda _: SelectionReply(round=1, count=1)
        accepted = await harness.command(command)
        assert isinstance(accepted, CommandAccepted)
        assert accepted.accepted == 1
