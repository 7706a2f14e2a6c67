"""HTTP client of a running Batchyard: one method for each kind of request; every failure becomes a `CliError`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from services.cli.client.address import Address
from services.cli.errors import CliError, NotFound, NotReachable, Refused

API = "/api/v1"
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5, sock_read=60)
_UPLOAD = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300)
_DOWNLOAD = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
_UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
"""A service behind the API did not answer."""
_RETRY_LATER_STATUSES = frozenset({408, 429})
_IN_PROGRESS = "idempotency_in_progress"
_NEXT_STEPS = {
    "batch_not_found": "List them with `batchyard list`.",
    "unknown_workload": "List them with `batchyard workloads`.",
    "dead_letter_not_found": "List them with `batchyard dead-letters list`.",
}
"""Advice when something does not exist, by error code."""
_MAX_PROBLEM_BYTES = 64 * 1024

Query = Mapping[str, str | int | None]


class HttpClient:
    """Client of the HTTP API of one running Batchyard."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def get(self, path: str, query: Query | None = None) -> bytes:
        """Fetch a document."""
        return await self._exchange("GET", path, query=_present(query or {}))

    async def send(self, method: str, path: str, document: Any = None, query: Query | None = None) -> bytes:
        """Send a JSON document, or nothing, and read the response."""
        if document is None:
            return await self._exchange(method, path, query=_present(query or {}))
        return await self._exchange(method, path, orjson.dumps(document), {"Content-Type": "application/json"})

    async def send_long_running(self, method: str, path: str, document: Any = None) -> bytes:
        """Send a JSON document, or nothing, and read a response that may take minutes."""
        body = None if document is None else orjson.dumps(document)
        headers = None if document is None else {"Content-Type": "application/json"}
        return await self._exchange(method, path, body, headers, timeout=_UPLOAD)

    async def post(
        self,
        path: str,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]],
    ) -> bytes:
        """Send a body that may be long, and read the response."""
        return await self._exchange("POST", path, body, headers, query, _UPLOAD)

    @asynccontextmanager
    async def download(self, path: str, query: Query) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that may be long; its body is read by the caller."""
        async with (
            self._reached(),
            self._session.get(self._at(path), params=_present(query), timeout=_DOWNLOAD) as response,
        ):
            await _refuse_problem(response)
            yield response

    @asynccontextmanager
    async def websocket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket. Raises `aiohttp.ClientError` or `OSError` when that is not possible."""
        async with self._session.ws_connect(self._at(path), heartbeat=20, max_msg_size=1 << 20) as socket:
            yield socket

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109  # aiohttp's own, not a number of seconds
    ) -> bytes:
        request = self._session.request(
            method, self._at(path), params=query, data=body, headers=headers, timeout=timeout
        )
        async with self._reached(), request as response:
            await _refuse_problem(response)
            return await response.read()

    def _at(self, path: str) -> str:
        return f"{self.url}{API}{path}"

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise NotReachable(
                f"Nothing answers at {self.url}.",
                "Start it with `batchyard up`, or name another address in BATCHYARD_URL.",
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or "it takes too long"
            lost = NotReachable(
                f"{self.url} stopped answering: {reason}.", "Try again; if it stays away, look into its log."
            )
            lost.retry_after_s = 0.0
            raise lost from error


@asynccontextmanager
async def open_door(address: Address) -> AsyncIterator[HttpClient]:
    """Connection to the Batchyard at this address, which lasts as long as the context."""
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, raise_for_status=False) as session:
        yield HttpClient(session, address.url)


async def _refuse_problem(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    problem = _problem(await response.content.read(_MAX_PROBLEM_BYTES))
    raise _error(response, problem)


def _error(response: aiohttp.ClientResponse, problem: dict[str, Any]) -> CliError:
    what = str(problem.get("detail") or problem.get("title") or f"HTTP {response.status} {response.reason}")
    if response.status == 404:
        return NotFound(what, _NEXT_STEPS.get(str(problem.get("code")), ""))
    if response.status == 403:
        return Refused(what)
    if response.status == 401:
        return Refused(what, "Put your token into BATCHYARD_TOKEN.")
    error: CliError
    if response.status in _UNAVAILABLE_STATUSES:
        error = NotReachable(
            what, "A service behind the client does not answer. Try again; if it stays so, look into its log."
        )
    else:
        line, items = problem.get("line"), problem.get("items")
        error = refused = Refused(what, line=line if isinstance(line, int) else None)
        refused.batch_id = problem.get("batch_id")
        refused.items = items if isinstance(items, int) else 0
    if response.status in _UNAVAILABLE_STATUSES | _RETRY_LATER_STATUSES or problem.get("code") == _IN_PROGRESS:
        told = response.headers.get("Retry-After", "")
        error.retry_after_s = float(told) if told.isdecimal() else 1.0
    return error


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _present(query: Query) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in query.items() if value is not None]
