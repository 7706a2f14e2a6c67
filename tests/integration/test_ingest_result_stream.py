"""Streams of results over HTTP: they follow a batch to its end, and continue by cursor."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import Message
from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.queries import QueryFailed, StreamPage, StreamQuery
from batchyard_contracts.v1.values import Counts, ItemResult
from devstack import Servers
from services.ingest.exports import ndjson
from services.ingest.queries import result_stream
from tests.support.patience import PATIENCE_S, until, until_true
from tests.support.running_ingest import IngestHarness, running_ingest


class FakeAggregator:
    """Replies to queries for results from those that a test has recorded so far, in the order of completion."""

    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.has_ended = False
        self.is_away = False
        self.queries: list[StreamQuery] = []

    def stream(self, query: StreamQuery) -> Message:
        self.queries.append(query)
        if self.is_away:
            return QueryFailed(code="unavailable", detail="away")
        places = range(int(query.cursor[1:].partition(".")[0]) if query.cursor else 0, len(self.recorded))
        items = [
            ItemResult(ordinal=self.recorded[n], status="succeeded", result={"n": n}, cursor=f"c{n + 1}.1")
            for n in places[: query.max_items]
        ]
        cursor = items[-1].cursor if items else query.cursor
        more = len(items) < len(places)
        return StreamPage(items=items, cursor=cursor, has_more=more, has_ended=self.has_ended)


async def batch(harness: IngestHarness, ledger: FakeAggregator) -> str:
    harness.answers[StreamQuery] = ledger.stream
    _, accepted = await harness.post("/batches", json={"workload": "squares", "items": [{"payload": {"n": 1}}]})
    return str(accepted["batch_id"])


class Reader:
    """Reads the lines of one answer as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def lines(self, number: int) -> list[Any]:
        """Return this many results."""
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < number:
                line = await self.response.content.readline()
                assert line, f"the stream ended after {found}"
                found += [json.loads(line)] if line.strip() else []
        return found

    async def rest(self) -> list[Any]:
        """Return all results until the end."""
        async with asyncio.timeout(PATIENCE_S):
            return [json.loads(line) for line in (await self.response.read()).splitlines() if line]


async def test_a_stream_follows_a_batch_to_its_end(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded = [4, 2]
        url = f"{harness.url}/batches/{await batch(harness, ledger)}/results"
        async with harness.http.get(url, params={"format": "ndjson", "follow": "true"}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/x-ndjson"
            reader = Reader(response)
            assert [line["ordinal"] for line in await reader.lines(2)] == [4, 2]
            ledger.recorded += [0]
            (third,) = await reader.lines(1)
            assert (third["ordinal"], third["cursor"]) == (0, "c3.1")
            ledger.recorded += [1, 3]
            ledger.has_ended = True
            assert [line["ordinal"] for line in await reader.rest()] == [1, 3]
        assert {(query.order, query.without_gaps) for query in ledger.queries} == {("completion", True)}
        async with harness.http.get(url, params={"format": "ndjson", "follow": "true", "cursor": "c3.1"}) as response:
            assert [line["ordinal"] for line in await Reader(response).rest()] == [1, 3]


async def test_progress_wakes_a_stream(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_stream, "QUIET_S", PATIENCE_S)
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        batch_id = await batch(harness, ledger)
        url = f"{harness.url}/batches/{batch_id}/results"
        async with harness.http.get(url, params={"format": "ndjson", "follow": "true"}) as response:
            await until_true(lambda: ledger.queries)
            ledger.recorded, ledger.has_ended = [0], True
            event = {"workload": "squares", "owner": "default", "batch_id": batch_id, "status": "running", "round": 1}
            counts = Counts(total=2, succeeded=1, remaining=1)
            progress = BatchProgressed.model_validate(event | {"counts": counts, "at": "2026-11-30T12:00:00Z"})
            await harness.publish(topology.EVENTS, progress)
            assert [line["ordinal"] for line in await Reader(response).rest()] == [0]


async def test_a_stream_survives_an_aggregator_that_is_away(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_stream, "TRANSIENT_STATUSES", {502, 503, 504})
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded = [1]
        url = f"{harness.url}/batches/{await batch(harness, ledger)}/results"
        async with harness.http.get(url, params={"format": "ndjson", "follow": "true"}) as response:
            reader = Reader(response)
            await reader.lines(1)
            ledger.is_away = True
            before = len(ledger.queries)
            await until_true(lambda: len(ledger.queries) > before + 1)
            ledger.recorded, ledger.has_ended, ledger.is_away = [1, 0], True, False
            assert [line["ordinal"] for line in await reader.rest()] == [0]


async def test_a_stream_that_has_nothing_new_sends_empty_lines(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "PULSE_S", 0.0)
    monkeypatch.setattr(result_stream, "QUIET_S", 0.01)
    async with running_ingest(clean) as harness:
        url = f"{harness.url}/batches/{await batch(harness, FakeAggregator())}/results"
        async with (
            harness.http.get(url, params={"format": "ndjson", "follow": "true"}) as response,
            asyncio.timeout(PATIENCE_S),
        ):
            assert [await response.content.readline() for _ in range(3)] == [b"\n"] * 3


async def test_a_reader_that_stops_reading_holds_two_pages_at_most(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded = list(range(200_000))
        batch_id = await batch(harness, ledger)
        url = f"{harness.url}/batches/{batch_id}/results"
        async with harness.http.get(url, params={"format": "ndjson", "follow": "true"}) as response:
            slow = Reader(response)
            await slow.lines(1)
            async with harness.http.get(url, params={"format": "ndjson", "order": "completion"}) as other:
                assert len(await Reader(other).rest()) == 200_000
            places = [
                int((query.cursor or "c0.0")[1:].partition(".")[0]) for query in ledger.queries if query.without_gaps
            ]
            assert max(places) < 150_000
            ledger.has_ended = True
            assert len(await slow.rest()) == 199_999


@pytest.mark.parametrize("export_format", ["json", "csv", "ndjson"])
async def test_every_format_takes_the_filters_of_a_stream(clean: Servers, export_format: str) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.recorded = [3, 1]
        path = f"/batches/{await batch(harness, ledger)}/results"
        params = {"format": export_format, "order": "completion", "round": "2", "custom_id": "c1", "cursor": "c1.1"}
        async with harness.http.get(harness.url + path, params=params) as response:
            assert response.status == 200
            assert (await response.text()).count("succeeded") == 1
        (query,) = ledger.queries
        assert (query.round, query.custom_id, query.cursor, query.without_gaps) == (2, "c1", "c1.1", False)
        params = {"format": export_format, "order": "completion", "limit": "1"}
        async with harness.http.get(harness.url + path, params=params) as response:
            assert (await response.text()).count("succeeded") == 1


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"follow": "true"}, "`format=ndjson`"),
        ({"follow": "true", "format": "csv"}, "`format=ndjson`"),
        ({"cursor": "c1.1", "order": "ordinal"}, "order `completion`"),
        ({"cursor": "o7", "order": "completion"}, "order `ordinal`"),
        ({"cursor": "o7", "after": "3"}, "`after`"),
        ({"order": "completion", "after": "3"}, "`after`"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "o-2"}, "cursor"),
        ({"cursor": "c99999999999.1"}, "cursor"),
        ({"order": "random"}, "order"),
        ({"round": "0"}, "round"),
        ({"custom_id": "a\x00"}, "custom_id"),
        ({"follow": "perhaps"}, "follow"),
    ],
)
async def test_parameters_that_make_no_sense_are_refused(clean: Servers, params: dict[str, str], word: str) -> None:
    async with running_ingest(clean) as harness:
        path = f"/batches/{await batch(harness, FakeAggregator())}/results"
        status, problem = await harness.get(path, params=params)
        assert (status, problem["code"]) == (422, "invalid_request")
        assert word in str(problem)


async def test_an_ordinal_begins_a_stream(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        ledger = FakeAggregator()
        ledger.stream = lambda query: ledger.queries.append(query) or StreamPage(has_ended=True)  # type: ignore[method-assign,func-returns-value]
        path = f"/batches/{await batch(harness, ledger)}/results"
        params = {"format": "ndjson", "follow": "true", "order": "ordinal", "after": "41"}
        async with harness.http.get(harness.url + path, params=params) as response:
            assert await response.read() == b""
        assert [(query.order, query.cursor) for query in ledger.queries] == [("ordinal", "o41")]


async def test_open_streams_are_limited(clean: Servers) -> None:
    async with running_ingest(clean, max_websockets=1) as harness:
        ledger = FakeAggregator()
        ledger.recorded = [0]
        path = f"/batches/{await batch(harness, ledger)}/results"
        params = {"format": "ndjson", "follow": "true"}
        async with harness.http.get(harness.url + path, params=params) as response:
            await Reader(response).lines(1)
            status, problem = await harness.get(path, params=params)
            assert (status, problem["code"]) == (503, "too_many_websockets")
        ledger.has_ended = True

        async def is_free() -> bool:
            return (await harness.get(path, params=params | {"cursor": "c1.1"}))[0] == 200

        await until(is_free)
