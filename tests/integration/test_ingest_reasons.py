"""Ingest tells what holds back a batch: what the dispatcher knows, and who paused it."""

from uuid import UUID

from batchyard_contracts.v1.queries import HoldReason, ReasonsQuery, ReasonsReply
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
PAUSED = HoldReason(code="paused", detail="The batch is paused.")


async def submit(harness: IngestHarness) -> str:
    status, accepted = await harness.post("/batches", json=BODY)
    assert status == 202
    return str(accepted["batch_id"])


async def test_the_dispatcher_is_asked_and_a_pause_names_who_gave_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        asked: list[ReasonsQuery] = []
        batch = await submit(harness)

        def answer(query: ReasonsQuery) -> ReasonsReply:
            asked.append(query)
            return ReasonsReply(reasons=[PAUSED], paused=True, waiting=1)

        harness.answers[ReasonsQuery] = answer
        assert (await harness.get(f"/batches/{batch}/reasons"))[1].get("paused_by") is None, "its pause is not known"
        for action in ("pause", "resume", "pause"):
            assert (await harness.post(f"/batches/{batch}/{action}"))[0] == 202
        status, shown = await harness.get(f"/batches/{batch}/reasons")
        assert (status, shown["reasons"][0]["code"], shown["waiting"]) == (200, "paused", 1)
        by = shown["paused_by"]
        assert (by["action"], by["actor"], by["door"]) == ("batch.pause", "default", "http")
        assert asked[-1] == ReasonsQuery(owner="default", batch_id=UUID(batch))
        rows = await harness.rows("SELECT at FROM audit WHERE action = 'batch.pause' ORDER BY id DESC LIMIT 1")
        assert by["at"].startswith(rows[0]["at"].strftime("%Y-%m-%dT%H:%M:%S")), "the newest pause"


async def test_a_batch_that_the_dispatcher_does_not_have_yet_is_arriving(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        harness.answers[ReasonsQuery] = lambda _: ReasonsReply(found=False)
        batch = await submit(harness)
        status, shown = await harness.get(f"/batches/{batch}/reasons")
        assert (status, shown["found"], [reason["code"] for reason in shown["reasons"]]) == (200, False, ["arriving"])
        await harness.rows("UPDATE batches SET done = true")
        assert (await harness.get(f"/batches/{batch}/reasons"))[1]["reasons"] == [], "it has ended"


async def test_a_dispatcher_that_is_away_is_a_problem_that_says_when_to_ask_again(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = await submit(harness)
        async with harness.http.get(f"{harness.url}/batches/{batch}/reasons") as response:
            assert (response.status, (await response.json())["code"]) == (504, "service_timeout")
            assert int(response.headers["Retry-After"]) >= 1
