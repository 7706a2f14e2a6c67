"""The timeline of a batch joins commands, the start, changes of destinations and the end."""

from datetime import UTC, datetime, timedelta
from typing import Any

from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, DestinationChange, HistoryQuery, HistoryReply
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


class Services:
    """The dispatcher and the ledger, which know one batch that has ended."""

    def __init__(self, harness: IngestHarness) -> None:
        self.began = datetime.now(UTC)
        self.asked: list[HistoryQuery] = []
        self.state: dict[str, Any] = {}
        harness.answers |= {HistoryQuery: self.history, BatchesQuery: self.batches}

    def history(self, query: HistoryQuery) -> HistoryReply:
        self.asked.append(query)
        changes = [
            DestinationChange(
                at=self.began + timedelta(hours=1, seconds=second), limit="partition", partition="a", before=4, after=2,
                reason="p95 rose",
            )
            for second in range(5, 0, -1)
        ]  # fmt: skip
        shown = [change for change in changes if change.at < query.before][: query.limit]
        return HistoryReply(started_at=self.began + timedelta(hours=1), changes=shown)

    def batches(self, query: BatchesQuery) -> BatchesReply:
        assert query.batch_ids is not None
        fields = {
            "batch_id": query.batch_ids[0], "owner": "default", "workload": "squares", "priority": "normal",
            "status": "finished", "round": 1, "result": "completed", "counts": {}, "accepted_at": self.began,
            "finished_at": self.began + timedelta(hours=2),
        }  # fmt: skip
        return BatchesReply.model_validate({"batches": [fields]})


async def test_everything_that_happened_comes_in_one_order_page_by_page(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        services = Services(harness)
        batch = (await harness.post("/batches", json=BODY))[1]["batch_id"]
        assert (await harness.post(f"/batches/{batch}/pause"))[0] == 202
        async with harness.http.patch(f"{harness.url}/batches/{batch}", json={"weight": 2}) as response:
            assert response.status == 202
        path = f"/batches/{batch}/timeline"
        status, whole = await harness.get(path)
        assert (status, "next" in whole) == (200, False)
        kinds = [entry["kind"] for entry in whole["entries"]]
        assert kinds == ["ended", *["rate_changed"] * 5, "started", "changed", "paused", "accepted"]
        assert whole["entries"][0]["result"] == "completed"
        rate, changed, accepted = (whole["entries"][n] for n in (1, 7, 9))
        assert (rate["before"], rate["after"], rate["partition"]) == ({"per_second": 4.0}, {"per_second": 2.0}, "a")
        assert (changed["actor"], changed["door"], changed["after"]) == ("default", "http", {"weight": 2})
        assert (accepted["actor"], accepted["door"]) == ("default", "http")
        assert services.asked[0].before == services.began + timedelta(hours=2, minutes=1), "its end bounds the changes"
        found, params = [], {"limit": "3"}
        while True:
            page = (await harness.get(path, params=params))[1]
            found += page["entries"]
            if "next" not in page:
                break
            params = {"limit": "3", "before": page["next"]}
        assert found == whole["entries"]


async def test_the_end_by_an_operator_is_shown_with_its_reason(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Services(harness)
        batch = (await harness.post("/batches", json=BODY))[1]["batch_id"]
        assert (await harness.post(f"/batches/{batch}/finish", json={"reason": "its items are lost"}))[0] == 202
        shown = (await harness.get(f"/batches/{batch}/timeline"))[1]
        assert [one["reason"] for one in shown["entries"] if one["kind"] == "cancelled"] == ["its items are lost"]


async def test_wrong_parameters_are_refused(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        Services(harness)
        batch = (await harness.post("/batches", json=BODY))[1]["batch_id"]
        for params in ({"limit": "0"}, {"limit": "201"}, {"before": "yesterday"}, {"before": "2026-11-30T06:00:00"}):
            assert (await harness.get(f"/batches/{batch}/timeline", params=params))[0] == 422, params
