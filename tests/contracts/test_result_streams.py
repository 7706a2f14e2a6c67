"""The HTTP client reads results as a stream, and continues an answer that breaks off where it stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.http import AsyncHttpClient, HttpClient, HttpProblem, NotReachable, result_stream
from batchyard_contracts.http.result_stream import ResultStream
from batchyard_contracts.v1.values import ItemResult
from tests.support.raw_server import raw_server

BATCH = UUID("019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70")
LINES = [
    b'{"ordinal":%d,"status":"succeeded","result":"line\xe2\x80\xa8end %d"}\n' % (ordinal, ordinal)
    for ordinal in range(0, 200, 2)
]
ITEMS = [ItemResult.model_validate_json(line) for line in LINES]

Read = Callable[[str], Awaitable[list[ItemResult]]]


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Read:
    """Read the failed results of the batch by one of the clients."""

    def by_thread(url: str) -> list[ItemResult]:
        with HttpClient(url) as client:
            return list(client.results(BATCH, status="failed"))

    async def by_loop(url: str) -> list[ItemResult]:
        async with AsyncHttpClient(url) as client:
            return [item async for item in client.results(BATCH, status="failed")]

    return by_loop if request.param == "async" else lambda url: asyncio.to_thread(by_thread, url)


class Server:
    """Serves the lines after a cursor, and ends each of its first answers after a number of bytes."""

    def __init__(self, *broken_after: int) -> None:
        self._broken_after = list(broken_after)
        self.asked: list[dict[str, list[str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        self.asked.append(query := parse_qs(urlsplit(target).query))
        after = int(query["after"][0])
        body = b"".join(line for line, item in zip(LINES, ITEMS, strict=True) if item.ordinal > after)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        writer.write(body[: self._broken_after.pop(0)] if self._broken_after else body)
        await writer.drain()


async def test_an_answer_that_breaks_off_is_continued(read: Read) -> None:
    server = Server(3000, 100, 1)
    async with raw_server(server.serve) as port:
        with pytest.raises(NotReachable):  # an answer without a single further result is not tried again
            await read(f"http://127.0.0.1:{port}")
        assert await read(f"http://127.0.0.1:{port}") == ITEMS
    assert {(query["format"][0], query["status"][0]) for query in server.asked} == {("ndjson", "failed")}
    afters = [int(query["after"][0]) for query in server.asked]
    assert afters[0] == afters[3] == -1
    assert -1 < afters[1] < afters[2]


async def test_a_stream_that_follows_is_continued_by_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_stream, "PAUSE_S", 0.0)
    lines = [b'\n{"ordinal":%d,"status":"succeeded","cursor":"c%d.1"}\n' % (7 - n, n) for n in range(4)]
    asked: list[dict[str, list[str]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        asked.append(query := parse_qs(urlsplit(target).query))
        place = int(query["cursor"][0][1]) + 1 if "cursor" in query else 0
        if len(asked) in {2, 3}:  # away, without a further result
            body = b"" if len(asked) == 2 else b'{"status":503,"code":"service_timeout"}'
            status = b"200 OK" if len(asked) == 2 else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 90\r\nConnection: close\r\n\r\n" + body)
        else:
            rest = b"".join(lines[place:])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(rest))
            writer.write(rest if len(asked) > 1 else lines[0] + lines[1][:9])
        await writer.drain()

    async with raw_server(serve) as port, AsyncHttpClient(f"http://127.0.0.1:{port}") as client:
        found = [item.ordinal async for item in client.results(BATCH, follow=True)]
    assert found == [7, 6, 5, 4]
    assert [query.get("cursor") for query in asked] == [None, ["c0.1"], ["c0.1"], ["c0.1"]]
    assert asked[0]["follow"] == ["true"]


def test_a_stream_that_follows_is_given_up_in_the_end() -> None:
    stream = ResultStream(BATCH, {"follow": True})
    stream.operation()
    assert stream.pause_s(100.0) == result_stream.PAUSE_S
    assert stream.pause_s(100.0 + result_stream.PATIENCE_S) is None
    assert stream.feed(LINES[0])
    stream.operation()
    assert stream.pause_s(300.0) == result_stream.PAUSE_S
    assert ResultStream(BATCH, {}).pause_s(0.0) is None


async def test_a_problem_is_raised(read: Read) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        body = b'{"status":404,"code":"batch_not_found"}'
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with raw_server(refuse) as port:
        with pytest.raises(HttpProblem) as raised:
            await read(f"http://127.0.0.1:{port}")
    assert raised.value.code == "batch_not_found"


@given(st.lists(st.integers(0, len(b"".join(LINES))), max_size=20))
def test_pieces_of_any_size_are_read(cuts: list[int]) -> None:
    body = b"".join(LINES)
    stream = ResultStream(BATCH, {"after": 7})
    assert stream.operation().params()["after"] == 7
    places = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    assert [item for piece in pieces for item in stream.feed(piece)] == ITEMS
    assert stream.operation().params()["after"] == ITEMS[-1].ordinal
