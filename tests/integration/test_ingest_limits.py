"""Limits of owners over HTTP: they hold, change live, and leave other owners alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.flow import NotifierAnnounced, OwnerWeighted
from devstack import Servers
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.persistence.limit_store import LimitStore
from tests.support.patience import PATIENCE_S, until
from tests.support.running_ingest import IngestHarness, running_ingest

OPERATOR = {"Authorization": f"Bearer {(OPERATOR_KEY := new_api_key('test'))}"}
SUBMISSION = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


@asynccontextmanager
async def ingest(servers: Servers, **settings: Any) -> AsyncIterator[tuple[IngestHarness, dict[str, dict[str, str]]]]:
    """Run ingest; yield it with headers of the owners ann and bob."""
    async with running_ingest(servers, operator_key=OPERATOR_KEY, announced=False, **settings) as harness:
        await harness.announce(headers=OPERATOR)
        headers = {}
        for owner in ("ann", "bob"):
            status, key = await harness.post("/keys", json={"name": owner, "owner": owner}, headers=OPERATOR)
            assert status == 201
            headers[owner] = {"Authorization": f"Bearer {key['key']}"}
        yield harness, headers


async def change(harness: IngestHarness, owner: str, **limits: Any) -> Any:
    async with harness.http.patch(f"{harness.url}/owners/{owner}/limits", json=limits, headers=OPERATOR) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_requests_beyond_the_quota_are_refused_with_the_time_to_come_again(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneMoment(LimitKeeper):
        """Keeper in whose time all requests of the test are in one period."""

        def __init__(self, store: LimitStore, defaults: OwnerLimits) -> None:
            super().__init__(store, defaults, lambda: 0.0)

    monkeypatch.setattr("services.ingest.http.identity.LimitKeeper", OneMoment)
    async with ingest(clean) as (harness, headers):
        await change(harness, "ann", requests=5)
        seen = []
        for _ in range(7):
            async with harness.http.get(f"{harness.url}/workloads", headers=headers["ann"]) as answer:
                seen.append((answer.status, answer.headers["RateLimit"], answer.headers.get("Retry-After")))
                assert answer.headers["RateLimit-Policy"] == '"owner";q=5;w=10'
                body = await answer.json()
        assert [status for status, _, _ in seen] == [200] * 5 + [429] * 2
        assert [header.split(";")[1] for _, header, _ in seen] == ["r=4", "r=3", "r=2", "r=1", "r=0", "r=0", "r=0"]
        assert body["code"] == "too_many_requests"
        assert seen[-1][2] == "10"
        status, _ = await harness.get("/workloads", headers=headers["bob"])
        assert status == 200


async def test_a_change_is_audited_and_holds_for_the_owner_alone_until_it_is_taken_back(clean: Servers) -> None:
    async with ingest(clean, owner_limits={"uploads": 3}) as (harness, headers):
        shown = await change(harness, "ann", waiting_items=10_000, uploads=1)
        assert (shown["set"], shown["limits"]["uploads"]) == ({"waiting_items": 10_000, "uploads": 1}, 1)
        assert (await harness.get("/limits", headers=headers["ann"]))[1]["limits"]["uploads"] == 1
        assert (await harness.get("/limits", headers=headers["bob"]))[1]["limits"]["uploads"] == 3
        many = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(6000)]}
        answers = [await harness.post("/batches", json=many, headers=headers["ann"]) for _ in range(2)]
        assert [status for status, _ in answers] == [202, 429]
        assert answers[1][1]["code"] == "too_many_waiting"
        await change(harness, "ann", waiting_items=None)
        assert (await harness.post("/batches", json=many, headers=headers["ann"]))[0] == 202
        async with harness.http.delete(f"{harness.url}/owners/ann/limits", headers=OPERATOR) as answer:
            assert (await answer.json())["set"] == {}
        assert (await harness.get("/owners/limits", headers=OPERATOR))[1] == {"owners": []}
        _, audit = await harness.get("/audit?action=limits.set&owner=ann", headers=OPERATOR)
        changes = [(entry["before"], entry["after"]) for entry in audit["entries"]]
        assert changes[-1] == ({}, {"waiting_items": 10_000, "uploads": 1})
        assert changes[0] == ({"uploads": 1}, {})
        assert {entry["actor"] for entry in audit["entries"]} == {"operator"}


async def test_a_change_holds_in_other_processes_too(clean: Servers) -> None:
    async with ingest(clean) as (harness, headers), running_ingest(clean, announced=False) as other:
        await change(harness, "ann", uploads=9)
        # It is read once a second.
        await until(
            lambda: other.get("/limits", headers=headers["ann"]), lambda answer: answer[1]["limits"]["uploads"] == 9
        )


async def test_the_dispatcher_hears_of_a_changed_weight(clean: Servers) -> None:
    async with ingest(clean) as (harness, _):
        await change(harness, "ann", weight=2.5)
        await change(harness, "ann", uploads=4)
        await change(harness, "ann", weight=None)
        told = await harness.wait_for(OwnerWeighted, 2)
        assert [(one.owner, one.weight) for one in told] == [("ann", 2.5), ("ann", None)]
        assert told[0].number < told[1].number


async def test_uploads_at_a_time_are_limited(clean: Servers) -> None:
    async with ingest(clean) as (harness, headers):
        await change(harness, "ann", uploads=1)
        began, end = asyncio.Event(), asyncio.Event()

        async def rows() -> AsyncIterator[bytes]:
            yield b'{"n": 1}\n'
            began.set()
            await end.wait()

        def upload(owner: str, data: Any) -> "asyncio.Task[tuple[int, Any]]":
            more = {**headers[owner], "Content-Type": "application/x-ndjson"}
            return asyncio.create_task(harness.post("/batches?workload=squares", data=data, headers=more))

        first = upload("ann", rows())
        try:
            await asyncio.wait_for(began.wait(), PATIENCE_S)
            await until(
                lambda: harness.get("/limits", headers=headers["ann"]), lambda answer: answer[1]["in_use"]["uploads"]
            )
            status, body = await upload("ann", b'{"n": 1}\n')
            assert (status, body["code"]) == (429, "too_many_uploads")
            assert (await upload("bob", b'{"n": 1}\n'))[0] == 202
        finally:
            end.set()
            ended = await asyncio.wait_for(first, PATIENCE_S)
        assert ended[0] == 202
        assert (await upload("ann", b'{"n": 1}\n'))[0] == 202


async def test_websockets_are_limited(clean: Servers) -> None:
    async with ingest(clean) as (harness, headers):
        await change(harness, "ann", websockets=1)
        _, batch = await harness.post("/batches", json=SUBMISSION, headers=headers["ann"])
        address = f"{harness.url}/batches/{batch['batch_id']}/progress"
        async with harness.http.ws_connect(address, headers=headers["ann"]):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await harness.http.ws_connect(address, headers=headers["ann"])
            assert refused.value.status == 429
            assert refused.value.headers is not None
            assert refused.value.headers["Retry-After"]


async def test_receivers_of_notifications_are_limited(clean: Servers) -> None:
    async with ingest(clean) as (harness, headers):
        await harness.publish(FLOW, NotifierAnnounced(webhooks=True, emails=True, started_at=datetime.now(UTC)))
        await change(harness, "ann", deliveries=1)
        told = {**SUBMISSION, "notify": {"emails": ["a@example.org"]}}
        status, _ = await until(
            lambda: harness.post("/batches", json=told, headers=headers["ann"]), lambda answer: answer[0] != 409
        )  # until the notifier is known
        assert status == 202
        status, body = await harness.post("/batches", json=told, headers=headers["ann"])
        assert (status, body["code"]) == (429, "too_many_deliveries")
        assert (await harness.post("/batches", json=SUBMISSION, headers=headers["ann"]))[0] == 202
        reply = await harness.command(BatchSubmit.model_validate(told))
        assert reply.type == "command.accepted.v1", "other owners have their own"


async def test_limits_out_of_bounds_and_unknown_ones_are_refused(clean: Servers) -> None:
    async with ingest(clean) as (harness, _):
        for wrong in ({"uploads": 0}, {"weight": 0}, {"requests": "7"}, {"bytes": 1}):
            url = f"{harness.url}/owners/ann/limits"
            async with harness.http.patch(url, json=wrong, headers=OPERATOR) as answer:
                assert answer.status == 422, wrong
