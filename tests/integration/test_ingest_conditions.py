"""Conditional requests: a state that the client has is not sent again, and no change of others is overwritten."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.http import AsyncHttpClient, HttpProblem
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import Counts
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest


class Ledger:
    """The aggregator's state of one batch."""

    def __init__(self, harness: IngestHarness) -> None:
        self._harness = harness
        self.state: BatchState | None = None
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[self.state] if self.state else [])

    async def submit(self, **fields: Any) -> str:
        body = {"workload": "squares", "items": [{"payload": {"n": 1}}], **fields}
        _, accepted = await self._harness.post("/batches", json=body)
        self.state = BatchState(
            batch_id=UUID(accepted["batch_id"]),
            owner="default",
            workload="squares",
            priority="normal",
            status="running",
            round=1,
            counts=Counts(total=1 if fields.get("sealed", True) else None, remaining=1),
            accepted_at=datetime.fromisoformat(accepted["accepted_at"]),
        )
        return str(accepted["batch_id"])

    async def apply(self, number: int) -> None:
        """Apply the command that ingest forwarded as this one of all, counted from 1."""
        command = (await self._harness.wait_for(BatchControlled, number))[-1]
        assert self.state is not None
        self.state = self.state.model_copy(update={"controlled_at": command.at})


async def test_a_state_that_the_client_has_is_not_sent_again(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = Ledger(harness)
        path = f"{harness.url}/batches/{await ledger.submit()}"
        async with harness.http.get(path) as response:
            tag, length = response.headers["ETag"], len(await response.read())
        assert length
        async with harness.http.get(path, headers={"If-None-Match": f'"x", {tag}'}) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
        assert ledger.state is not None
        ledger.state = ledger.state.model_copy(update={"counts": Counts(total=1, succeeded=1)})
        async with harness.http.get(path, headers={"If-None-Match": tag}) as response:
            assert response.status == 200
            assert response.headers["ETag"] != tag


async def test_of_two_changes_to_one_state_one_is_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = Ledger(harness)
        batch_id = UUID(await ledger.submit())
        async with AsyncHttpClient(harness.url.removesuffix("/api/v1")) as client:
            read = await client.tagged_batch(batch_id)
            assert read is not None
            assert await client.tagged_batch(batch_id, unless=read.tag) is None
            outcomes = await asyncio.gather(
                *(client.change(batch_id, if_match=read.tag, weight=weight) for weight in (2, 3)),
                return_exceptions=True,
            )
            (refused,) = [each for each in outcomes if isinstance(each, HttpProblem)]
            assert (refused.status, refused.code) == (412, "precondition_failed")
            for change in (client.pause, client.resume, client.cancel):
                with pytest.raises(HttpProblem, match="was changed since you read it"):
                    await change(batch_id, if_match=read.tag)
            stale = await client.tagged_batch(batch_id)
            assert stale is not None
            with pytest.raises(HttpProblem, match="was changed"):  # the ledger shows the state before the change
                await client.pause(batch_id, if_match=stale.tag)
            await ledger.apply(1)
            fresh = await client.tagged_batch(batch_id)
            assert fresh is not None
            await client.pause(batch_id, if_match=fresh.tag)
            assert len(harness.all(BatchControlled)) == 2 or await harness.wait_for(BatchControlled, 2)


async def test_a_repeated_command_is_answered_although_it_has_changed_the_batch(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = Ledger(harness)
        path = f"/batches/{await ledger.submit()}"
        async with harness.http.get(harness.url + path) as response:
            headers = {"If-Match": response.headers["ETag"], "Idempotency-Key": "once"}
        assert (await harness.post(path + "/pause", headers=headers))[0] == 202
        status, accepted = await harness.post(path + "/pause", headers=headers)
        assert (status, accepted["replayed"]) == (202, True)


async def test_appends_and_seals_are_conditional_too(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = Ledger(harness)
        path = f"/batches/{await ledger.submit(sealed=False)}"
        async with harness.http.get(harness.url + path) as response:
            current = {"If-Match": response.headers["ETag"]}
        items = {"sequence": 0, "items": [{"payload": {"n": 2}}]}
        for stale in ({"If-Match": '"0.0"'}, {"If-Match": 'W/"0-open.0"'}):
            assert (await harness.post(path + "/items", json=items, headers=stale))[0] == 412
            assert (await harness.post(path + "/seal", headers=stale))[0] == 412
        assert (await harness.post(path + "/items", json=items, headers=current))[0] == 202
        assert (await harness.post(path + "/seal", headers=current))[0] == 202
        assert (await harness.post(path + "/cancel", headers=current))[0] == 412
        status, problem = await harness.post(path + "/cancel", headers={"If-Match": "abc"})
        assert (status, problem["code"]) == (422, "invalid_request")
