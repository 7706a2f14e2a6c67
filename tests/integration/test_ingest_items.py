"""Ingest shows the items of a batch as the dispatcher and the ledger have them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from batchyard_contracts.v1.queries import (
    AttemptsQuery,
    AttemptsReply,
    FailedAttempt,
    ItemState,
    OutcomesQuery,
    OutcomesReply,
    RecordedOutcome,
    ResultsPage,
    ResultsQuery,
    StatesQuery,
    StatesReply,
    WorkersQuery,
    WorkersReply,
    WorkerState,
)
from batchyard_contracts.v1.values import ItemError, ItemResult
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
BUSY = ItemError(code="busy", message="HTTP 503")
FAILED = FailedAttempt(round=1, attempt=3, error=BUSY, elapsed_ms=40, at=AT)
CHUNK = UUID("019a2b3c-0000-7000-8000-0000000000c1")
STORED = {
    0: ItemState(ordinal=0, custom_id="a", partition="x.example"),
    1: ItemState(ordinal=1, partition="x.example", status="running", attempt=2, since=AT, chunk_id=CHUNK, error=BUSY),
    2: ItemState(ordinal=2, partition="y.example", status="retrying", attempt=3, retry_at=AT, error=BUSY),
    3: ItemState(ordinal=3, partition="y.example", status="waiting", attempt=1),
    4: ItemState(ordinal=4, partition="y.example"),
    5: ItemState(ordinal=5, custom_id="f", partition="y.example"),
}
OUTCOMES = {
    0: RecordedOutcome(ordinal=0, custom_id="a", status="succeeded", attempts=1, elapsed_ms=7, recorded_at=AT),
    5: RecordedOutcome(
        ordinal=5, custom_id="f", status="failed", attempts=4, error=BUSY, cause="1-0123456789abcdef", recorded_at=AT
    ),
}


class Services:
    """The dispatcher and the ledger, with one batch of six items."""

    def __init__(self, harness: IngestHarness) -> None:
        self.asked: list[StatesQuery | OutcomesQuery] = []
        harness.answers |= {StatesQuery: self.states, OutcomesQuery: self.outcomes, ResultsQuery: self.results}
        harness.answers[AttemptsQuery] = lambda _: AttemptsReply(attempts=[FAILED])
        worker = WorkerState(
            worker_id="h-1", workloads=["squares"], chunks=[CHUNK], running=1, stopping=False, seen_at=AT
        )
        harness.answers[WorkersQuery] = lambda _: WorkersReply(workers=[worker])

    def states(self, query: StatesQuery) -> StatesReply:
        self.asked.append(query)
        chosen = [
            item.model_copy(update={"payload": {"n": item.ordinal} if query.payloads else None})
            for item in STORED.values()
            if (item.ordinal > query.after if query.ordinals is None else item.ordinal in query.ordinals)
            and query.status in {None, item.status}
            and query.partition in {None, item.partition}
        ]
        page = chosen[: query.limit]
        return StatesReply(items=page, next_after=page[-1].ordinal if len(chosen) > len(page) else None)

    def outcomes(self, query: OutcomesQuery) -> OutcomesReply:
        self.asked.append(query)
        chosen = [
            outcome
            for outcome in OUTCOMES.values()
            if (outcome.ordinal > query.after if query.ordinals is None else outcome.ordinal in query.ordinals)
            and query.status in {None, outcome.status}
            and query.cause in {None, outcome.cause}
        ]
        return OutcomesReply(items=chosen)

    def results(self, query: ResultsQuery) -> ResultsPage:
        assert query.limit == query.max_items == 1
        found = ItemResult(ordinal=0, status="succeeded", result={"n": 12345678901234567890})
        return ResultsPage(items=[found] if query.after == -1 else [])


async def submit(harness: IngestHarness) -> str:
    body = {"workload": "squares", "items": [{"payload": {"n": n}} for n in range(6)]}
    status, accepted = await harness.post("/batches", json=body)
    assert status == 202
    return str(accepted["batch_id"])


async def test_items_come_in_order_each_with_its_state(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Services(harness)
        path = f"/batches/{await submit(harness)}/items"
        status, page = await harness.get(path)
        assert status == 200
        states = [item["state"] for item in page["items"]]
        assert states == ["succeeded", "running", "retrying", "waiting", "in_transit", "failed"]
        done, running, retrying, waiting, _, failed = page["items"]
        assert (done["custom_id"], done["elapsed_ms"], done["ended_at"], done["partition"]) == (
            "a", 7, "2026-11-30T06:00:00Z", "x.example",
        )  # fmt: skip
        assert (running["attempts"], running["since"], running["worker_id"]) == (2, "2026-11-30T06:00:00Z", "h-1")
        assert (retrying["attempts"], retrying["retry_at"], retrying["error"]["code"]) == (
            2, "2026-11-30T06:00:00Z", "busy",
        )  # fmt: skip
        assert waiting["attempts"] == 0
        assert (failed["attempts"], failed["cause"]) == (4, "1-0123456789abcdef")
        assert "next" not in page
        first = (await harness.get(path, params={"limit": "2"}))[1]
        assert ([item["ordinal"] for item in first["items"]], first["next"]) == ([0, 1], 1)
        rest = (await harness.get(path, params={"limit": "4", "after": str(first["next"])}))[1]
        assert ([item["ordinal"] for item in rest["items"]], rest.get("next")) == ([2, 3, 4, 5], None)


async def test_filters_go_to_the_service_that_knows(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        services = Services(harness)
        path = f"/batches/{await submit(harness)}/items"

        async def ordinals(**params: str) -> list[int]:
            services.asked.clear()
            status, page = await harness.get(path, params=params)
            assert status == 200
            return [item["ordinal"] for item in page["items"]]

        assert await ordinals(state="retrying") == [2]
        assert [type(query) for query in services.asked] == [StatesQuery], "the ledger has none that has not ended"
        assert await ordinals(state="failed") == [5]
        assert isinstance(services.asked[0], OutcomesQuery)
        assert await ordinals(cause="1-0123456789abcdef", partition="y.example") == [5]
        assert await ordinals(cause="1-0123456789abcdef", partition="x.example") == []
        assert services.asked[0].limit == 200, "each may be in a page of its own"
        assert await ordinals(state="succeeded", custom_id="a") == [0]
        assert await ordinals(state="succeeded", custom_id="b") == []
        assert [type(query) for query in services.asked] == [OutcomesQuery], "the dispatcher reads no page for others"
        assert await ordinals(partition="x.example") == [0, 1]


async def test_one_item_comes_with_payload_and_result(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Services(harness)
        path = f"/batches/{await submit(harness)}/items"
        async with harness.http.get(f"{harness.url}{path}/0") as response:
            assert response.status == 200
            assert b'"result":{"n":12345678901234567890}' in await response.read(), "as it arrived"
        status, retrying = await harness.get(f"{path}/2")
        assert (status, retrying["state"], retrying["payload"]) == (200, "retrying", {"n": 2})
        status, problem = await harness.get(f"{path}/6")
        assert (status, problem["code"]) == (404, "item_not_found")
        for bad in ("-1", "x", "100000000"):
            assert (await harness.get(f"{path}/{bad}"))[0] == 422


async def test_wrong_parameters_are_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Services(harness)
        path = f"/batches/{await submit(harness)}/items"
        wrong: list[dict[str, Any]] = [
            {"state": "lost"}, {"limit": "201"}, {"limit": "0"}, {"after": "-2"}, {"cause": "x"}, {"partition": "\0"},
            {"custom_id": ""}, {"state": "waiting", "cause": "1-0123456789abcdef"},
        ]  # fmt: skip
        for params in wrong:
            status, problem = await harness.get(path, params=params)
            assert (status, problem["code"]) == (422, "invalid_request"), params
