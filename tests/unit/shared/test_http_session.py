"""Answers of odd servers to the sessions that all HTTP clients of the product use."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from shared.http.response_head import HEAD_TOO_LARGE
from shared.http.session import is_head_too_large, open_session
from tests.support.raw_server import Behaviour, raw_server

ROOT = Path(__file__).parents[3]
BODY = b'{"a":1}'
LENGTH = b"Content-Length: 7\r\n"
CHUNKED = b"7\r\n" + BODY + b"\r\n0\r\n\r\n"


def answering(raw: bytes, step: int = 1_000_000) -> Behaviour:
    """Answer one request with these bytes, `step` at a time."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(raw), step):
            writer.write(raw[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)

    return behave


async def answer(raw: bytes, step: int = 1_000_000) -> tuple[int, bytes]:
    async with (
        raw_server(answering(raw, step)) as port,
        open_session() as session,
        session.get(f"http://127.0.0.1:{port}/") as response,
    ):
        return response.status, await response.read()


ODD = {
    "a large header": b"HTTP/1.1 200 OK\r\nX-Policy: " + b"x" * 34_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: v\r\n" * 900 + LENGTH + b"\r\n" + BODY,
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 7\n\n" + BODY,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "no length": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "the length twice": b"HTTP/1.1 200 OK\r\n" + LENGTH * 2 + b"\r\n" + BODY,
    "the length as a list": b"HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n" + BODY,
    "length and chunks": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "length and identity": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 7\r\n\r\n" + BODY,
    "empty lines first": b"\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "an interim response": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "another character set": b"HTTP/1.1 200 D\xe9j\xe0\r\nX: M\xfcller\r\n" + LENGTH + b"\r\n" + BODY,
    "more than its body": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + LENGTH + b"\r\n" + BODY + b"\r\n\r\n",
}


@pytest.mark.parametrize("oddity", ODD)
async def test_a_200_is_a_200_whatever_surrounds_it(oddity: str) -> None:
    assert await answer(ODD[oddity]) == (200, BODY)
    assert await answer(ODD[oddity], step=max(1, len(ODD[oddity]) // 150)) == (200, BODY)


@pytest.mark.parametrize(
    "lines", [b"X: " + b"v" * 70_000 + b"\r\n", b"X: v\r\n" * 1100, (b"X: " + b"v" * 2000 + b"\r\n") * 100]
)
async def test_a_head_past_the_limits_is_refused_by_name(lines: bytes) -> None:
    with pytest.raises(aiohttp.ClientResponseError) as caught:
        await answer(b"HTTP/1.1 200 OK\r\n" + lines + LENGTH + b"\r\n" + BODY)
    assert is_head_too_large(caught.value)
    assert caught.value.message == HEAD_TOO_LARGE


async def test_an_endless_head_is_given_up_early() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"v" * 1000 + b"\r\n")
            await writer.drain()
            sent += 1000

    async with raw_server(endless) as port, open_session() as session:
        with pytest.raises(aiohttp.ClientResponseError, match="64 KB"):
            await session.get(f"http://127.0.0.1:{port}/")
    assert sent < 50_000_000


async def test_a_connection_serves_several_answers() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n" + LENGTH * 2 + b"\r\n" + BODY)
            await writer.drain()

    async with raw_server(twice) as port, open_session() as session:
        for _ in range(2):
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                assert (response.status, await response.read()) == (200, BODY)


@pytest.mark.parametrize(
    "raw", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n" + LENGTH + b"Content-Length: 8\r\n\r\n" + BODY]
)
async def test_a_reply_that_is_no_http_is_an_error(raw: bytes) -> None:
    with pytest.raises(aiohttp.ClientError):
        await answer(raw)


def test_every_client_of_servers_opens_its_session_here() -> None:
    for folder in ("services/worker", "services/notifier"):
        for file in (ROOT / folder).rglob("*.py"):
            assert "ClientSession(" not in file.read_text("utf-8"), file
