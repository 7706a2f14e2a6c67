"""Results in all export formats, page by page from the aggregator; batches, failures and workers."""

import csv
import io
import json
import zipfile
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from batchyard_contracts.message import Message
from batchyard_contracts.v1.queries import (
    BatchesQuery,
    BatchesReply,
    BatchState,
    FailureGroup,
    FailuresQuery,
    FailuresReply,
    QueryFailed,
    ResultsPage,
    ResultsQuery,
    ResultsReply,
    WorkersQuery,
    WorkersReply,
)
from batchyard_contracts.v1.values import Counts, ItemError, ItemResult
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

ITEMS = [
    ItemResult(
        ordinal=n,
        custom_id=f"c{n}",
        status="succeeded",
        attempts=1,
        elapsed_ms=5,
        result={"n": n, "title": f"=set/{n}: a*b", "sheets": [f"SHEET {n}", "B-SIDE"] if n == 3 else [f"SHEET {n}"]},
    )
    for n in range(1200)
] + [
    ItemResult(ordinal=1200, status="failed", attempts=4, error=ItemError(code="gone", message='+no, "really"')),
    ItemResult(ordinal=1201, status="duplicate", duplicate_of=7),
]


class FakeAggregator:
    """Replies to queries like the aggregator, from `ITEMS`."""

    def __init__(self) -> None:
        self.queries: list[ResultsQuery] = []
        self.fail_after: int | None = None
        self.largest_page = 1_000_000
        """Number of outcomes after which a page is cut, as if it were too large for a message."""
        self.is_older = False
        """True: it is of a version without large pages."""

    def results(self, query: ResultsQuery) -> Message:
        self.queries.append(query)
        if self.fail_after is not None and query.after >= self.fail_after:
            return QueryFailed(code="defect", detail="the aggregator has failed")
        fitting = [
            item
            for item in ITEMS
            if item.ordinal > query.after
            and query.status in (None, item.status)
            and query.error_code in (None, item.error.code if item.error else None)
        ]
        limit, reply = query.limit, ResultsReply
        if query.max_items is not None and not self.is_older:
            limit, reply = min(query.max_items, self.largest_page), ResultsPage
        fitting = fitting[query.skip :]
        page = fitting[:limit]
        return reply(items=page, next_after=page[-1].ordinal if len(fitting) > len(page) else None)


async def batch(harness: IngestHarness, aggregator: FakeAggregator) -> str:
    harness.answers[ResultsQuery] = aggregator.results
    _, accepted = await harness.post("/batches", json={"workload": "squares", "items": [{"payload": {"n": 1}}]})
    return f"/batches/{accepted['batch_id']}"


async def read(harness: IngestHarness, path: str) -> tuple[bytes, Any]:
    async with harness.http.get(harness.url + path) as response:
        assert response.status == 200, await response.text()
        return await response.read(), response.headers


async def test_results_as_json_and_ndjson_are_complete(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, aggregator := FakeAggregator())
        body, headers = await read(harness, f"{path}/results")
        assert headers["Content-Type"] == "application/json"
        assert [ItemResult.model_validate(item) for item in json.loads(body)] == ITEMS
        assert [query.after for query in aggregator.queries] == [-1, 999]
        lines, headers = await read(harness, f"{path}/results?format=ndjson")
        assert headers["Content-Type"] == "application/x-ndjson"
        assert headers["Content-Disposition"].endswith('.ndjson"')
        assert [ItemResult.model_validate_json(line) for line in lines.splitlines()] == ITEMS


async def test_an_aggregator_of_an_older_version_is_read(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, aggregator := FakeAggregator())
        aggregator.is_older = True
        body, _ = await read(harness, f"{path}/results")
        assert [ItemResult.model_validate(item) for item in json.loads(body)] == ITEMS


async def test_results_are_filtered_and_paged(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, aggregator := FakeAggregator())
        failed, _ = await read(harness, f"{path}/results?status=failed&error_code=gone")
        assert [item["ordinal"] for item in json.loads(failed)] == [1200]
        assert (aggregator.queries[-1].status, aggregator.queries[-1].error_code) == ("failed", "gone")
        none, headers = await read(harness, f"{path}/results?status=cancelled")
        assert none == b"[]"
        assert "Link" not in headers
        some, _ = await read(harness, f"{path}/results?after=5&limit=700")
        assert [item["ordinal"] for item in json.loads(some)] == list(range(6, 706))


@pytest.mark.parametrize(
    ("limit", "largest_page", "pages"), [(450, 1_000_000, 3), (1100, 1_000_000, 2), (500, 120, 3), (1202, 700, 1)]
)
async def test_each_page_names_the_next_one(clean: Servers, limit: int, largest_page: int, pages: int) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, aggregator := FakeAggregator())
        aggregator.largest_page = largest_page
        seen: list[list[int]] = []
        following = f"/results?limit={limit}&format=json"
        while following:
            body, headers = await read(harness, path + following)
            seen.append([item["ordinal"] for item in json.loads(body)])
            link = headers.get("Link", "")
            following = link[1 : link.index(">")].removeprefix(f"/api/v1{path}") if link else ""
        assert [ordinal for page in seen for ordinal in page] == list(range(1202))
        assert len(seen) == pages


async def test_results_as_csv_are_safe_in_a_spreadsheet(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        body, headers = await read(harness, f"{path}/results?format=csv")
        assert headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        assert len(rows) == 1202
        assert list(rows[0]) == [
            *("ordinal", "custom_id", "status", "attempts", "round", "error_code", "error_message", "error_scope"),
            *("duplicate_of", "duplicate_of_batch", "elapsed_ms", "cached", "n", "title", "sheets", "more"),
        ]
        assert (rows[3]["n"], rows[3]["title"], rows[3]["custom_id"]) == ("3", "'=set/3: a*b", "c3")
        assert (rows[3]["sheets"], rows[3]["more"]) == ('["SHEET 3","B-SIDE"]', "")
        assert (rows[1200]["error_code"], rows[1200]["error_message"]) == ("gone", '\'+no, "really"')
        assert (rows[1201]["status"], rows[1201]["duplicate_of"], rows[1201]["n"]) == ("duplicate", "7", "")


async def test_texts_are_exported_as_a_zip_archive(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        body, headers = await read(harness, f"{path}/results?format=cue")
        assert headers["Content-Type"] == "application/zip"
        assert headers["Content-Disposition"] == f'attachment; filename="{path.rsplit("/")[-1]}.cue.zip"'
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert len(names) == len(set(names)) == 1201
            assert names[0] == "000000 set-0- a-b.cue"
            assert [archive.read(name) for name in names if name.startswith("000003")] == [b"SHEET 3", b"B-SIDE"]


async def test_an_unknown_format_is_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        status, problem = await harness.get(f"{path}/results?format=xlsx")
        assert (status, problem["code"]) == (422, "unknown_format")
        assert "json, ndjson, csv, cue" in problem["detail"]
        await harness.rows("UPDATE batches SET items = 100001")
        assert (await harness.get(f"{path}/results?format=cue"))[1]["code"] == "archive_too_large"


async def test_a_failing_aggregator_ends_the_response(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, aggregator := FakeAggregator())
        aggregator.fail_after = -1
        status, problem = await harness.get(f"{path}/results")
        assert (status, problem["code"], problem["detail"]) == (502, "service_error", "the aggregator has failed")
        aggregator.fail_after = 999
        async with harness.http.get(f"{harness.url}{path}/results?format=ndjson") as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientError):  # half an answer must not look like a whole one
                await response.read()


async def test_batches_are_listed_and_shown(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        batch_id = UUID(path.rsplit("/")[-1])
        harness.answers[BatchesQuery] = lambda _: BatchesReply(batches=[])
        status, shown = await harness.get(path)
        assert (status, shown["status"], shown["counts"]["total"], shown["counts"]["remaining"]) == (
            200,
            "running",
            1,
            1,
        )
        asked: list[BatchesQuery] = []

        def answer(query: BatchesQuery) -> BatchesReply:
            asked.append(query)
            state = {
                "batch_id": batch_id,
                "owner": query.owner,
                "workload": "squares",
                "priority": "normal",
                "status": "paused",
                "round": 2,
                "counts": Counts(total=1, succeeded=1),
                "accepted_at": "2026-01-01T00:00:00Z",
            }
            return BatchesReply(batches=[BatchState.model_validate(state)])

        harness.answers[BatchesQuery] = answer
        assert (await harness.get(path))[1]["round"] == 2
        status, listed = await harness.get(f"/batches?status=paused&workload=squares&limit=1&before={batch_id}")
        assert (status, len(listed["batches"]), listed["next_before"]) == (200, 1, str(batch_id))
        assert asked[-1] == BatchesQuery(owner="default", status="paused", workload="squares", before=batch_id, limit=1)
        assert (await harness.get("/batches?limit=2"))[1]["next_before"] is None
        path = f"/batches?state=running&state=partial&priority=low&q=night&sort=oldest&after={batch_id}&limit=1"
        status, listed = await harness.get(f"{path}&accepted_from=2026-01-01T00:00:00Z")
        assert (status, listed["next_before"], listed["next_after"]) == (200, None, str(batch_id))
        assert asked[-1] == BatchesQuery.model_validate(
            {
                "owner": "default", "statuses": ["running"], "results": ["partial"], "priorities": ["low"],
                "text": "night", "oldest_first": True, "after": batch_id, "limit": 1,
                "accepted_from": "2026-01-01T00:00:00Z",
            }
        )  # fmt: skip
        assert (await harness.get("/batches?" + "state=partial&" * 8 + "priority=low&" * 3))[0] == 200
        assert (asked[-1].results, asked[-1].priorities) == (["partial"], ["low"]), "what is repeated counts once"
        for wrong in ("state=lost", "state=open&" * 9, "priority=low&" * 4, "q=%00", "sort=random", "after=1"):
            assert (await harness.get(f"/batches?{wrong}"))[0] == 422, wrong


async def test_a_list_that_needs_several_messages_is_whole(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        states = [
            BatchState.model_validate(
                {"batch_id": UUID(int=n), "owner": "default", "workload": "squares", "priority": "normal"}
                | {"status": "running", "round": 1, "counts": Counts(), "accepted_at": "2026-01-01T00:00:00Z"}
            )
            for n in range(10)
        ]

        def answer(query: BatchesQuery) -> BatchesReply:
            rest = [one for one in states if query.before is None or one.batch_id > query.before][: query.limit]
            return BatchesReply(batches=rest[:3], truncated=len(rest) > 3)

        harness.answers[BatchesQuery] = answer
        for limit in (1, 3, 5, 8, 10, 50):
            listed = (await harness.get(f"/batches?limit={limit}"))[1]
            assert [one["batch_id"] for one in listed["batches"]] == [str(one.batch_id) for one in states[:limit]]
            assert (listed["next_before"] is not None) == (limit <= 10)


async def test_failures_and_workers_are_shown(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        group = FailureGroup(code="gone", count=3, message="no", ordinals=[1, 2, 3])
        harness.answers[FailuresQuery] = lambda _: FailuresReply(groups=[group])
        assert (await harness.get(f"{path}/failures"))[1]["groups"] == [group.model_dump(exclude_none=True)]
        harness.answers[FailuresQuery] = lambda _: FailuresReply(found=False)
        assert (await harness.get(f"{path}/failures"))[1] == {"found": True, "groups": []}
        harness.answers[WorkersQuery] = lambda _: WorkersReply(workers=[])
        assert await harness.get("/workers") == (200, {"workers": []})


async def test_a_query_without_a_reply_times_out(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        status, problem = await harness.get("/workers")
        assert (status, problem["code"]) == (504, "service_timeout")
