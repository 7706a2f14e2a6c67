"""Results are read in pages of about a megabyte, one page ahead of their consumer and no further."""

import asyncio
from collections.abc import Callable
from typing import cast
from uuid import UUID

import pytest

from batchyard_contracts.v1.queries import ResultsPage, ResultsQuery
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_page import ResultPage
from services.ingest.queries.result_reader import ResultSelection, read_results

BATCH = UUID("019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70")
SELECTION = ResultSelection("ann", BATCH)
MEGABYTE = 1024 * 1024


class Ledger:
    """Stand-in for the aggregator with some items, whose results have a number of bytes each."""

    def __init__(self, items: int, size: Callable[[int], int] = lambda _: 100) -> None:
        self._items = items
        self._size = size
        self.queries: list[ResultsQuery] = []
        self.failures: dict[int, list[int]] = {}
        """Statuses with which the queries after an ordinal fail, one after the other."""
        self.ended = 0
        self.is_answering = asyncio.Event()
        self.is_answering.set()

    async def results(self, query: ResultsQuery) -> ResultPage:
        self.queries.append(query)
        try:
            await self.is_answering.wait()
            if failing := self.failures.get(query.after):
                raise IngestError(Rejection("service_error", "no", failing.pop(0)))
            first = query.after + 1
            last = min(self._items, first + (query.max_items or query.limit))
            rows = b",".join(
                b'{"ordinal":%d,"status":"succeeded","result":"%b"}' % (n, b"x" * self._size(n))
                for n in range(first, last)
            )
            more = b',"next_after":%d' % (last - 1) if last < self._items else b""
            return ResultPage.decode(b'{"found":true,"items":[%b]%b}' % (rows, more))
        finally:
            self.ended += 1

    @property
    def client(self) -> AggregatorClient:
        return cast("AggregatorClient", self)


async def ordinals(ledger: Ledger, selection: ResultSelection = SELECTION) -> list[int]:
    pages = read_results(ledger.client, selection)
    return [outcome.ordinal async for page in pages for outcome in page.outcomes()]


@pytest.mark.parametrize("items", [0, 1, 999, 1000, 1001, 30_000])
async def test_every_result_is_read_once_and_in_order(items: int) -> None:
    assert await ordinals(Ledger(items)) == list(range(items))


async def test_after_and_limit_hold_over_all_pages() -> None:
    ledger = Ledger(30_000)
    assert await ordinals(ledger, ResultSelection("ann", BATCH, after=9, limit=12_345)) == list(range(10, 12_355))
    asked = [query.max_items or 0 for query in ledger.queries]
    assert (asked[0], sum(asked)) == (1000, 12_345)


@pytest.mark.parametrize("size", [100, 5000, 300_000])
async def test_pages_have_about_a_megabyte_however_large_a_result_is(size: int) -> None:
    ledger = Ledger(4_000_000 // size + 1200, lambda n: 100 if n < 1000 else size)
    pages = [page async for page in read_results(ledger.client, SELECTION)]
    assert pages[0].items
    for query, page in zip(ledger.queries[3:-1], pages[3:-1], strict=True):  # the third knows the size of the second
        assert 0.6 * MEGABYTE <= page.size() <= 1.1 * MEGABYTE, query


async def test_one_page_is_asked_for_ahead_and_no_more() -> None:
    ledger = Ledger(50_000)
    pages = read_results(ledger.client, SELECTION)
    for number in range(1, 4):
        await anext(pages)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(ledger.queries) == number + 1
    await pages.aclose()  # type: ignore[attr-defined]


async def test_a_reader_that_stops_leaves_no_query() -> None:
    ledger = Ledger(50_000)
    pages = read_results(ledger.client, SELECTION)
    await anext(pages)
    ledger.is_answering.clear()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(ledger.queries), ledger.ended) == (2, 1)
    await pages.aclose()  # type: ignore[attr-defined]
    assert ledger.ended == 2


async def test_a_query_that_fails_for_a_moment_is_repeated_and_a_lasting_failure_is_raised() -> None:
    ledger = Ledger(5000)
    ledger.failures = {999: [503, 504]}
    assert await ordinals(ledger) == list(range(5000))
    ledger.failures = {999: [503, 504, 503]}
    with pytest.raises(IngestError):
        await ordinals(ledger)
    ledger.failures = {999: [502]}
    with pytest.raises(IngestError):
        await ordinals(ledger)


def test_a_line_end_between_tokens_becomes_a_blank_and_all_else_stays() -> None:
    result = b'{"n":\n 1.50,\r\n"n":99999999999999999999,"t":"a\\nb \xe2\x80\xa8"}'
    item = b'{"ordinal":0,"status":"succeeded","result":' + result + b"}"
    page = ResultPage.decode(b'{"found":true,"items":[' + item + b"," + item + b"]}")
    assert page.joined(b"\n").split(b"\n") == [item.replace(b"\n", b" ").replace(b"\r", b" ")] * 2


def test_a_page_of_the_contract_has_room_for_the_largest_query() -> None:
    limit = ResultsQuery(owner="ann", batch_id=BATCH, max_items=10_000).max_items
    items = b",".join(b'{"ordinal":%d,"status":"succeeded"}' % n for n in range(limit or 0))
    body = b'{"found":true,"items":[%b]}' % items
    assert len(ResultsPage.decode(body).items) == len(ResultPage.decode(body).items) == limit
