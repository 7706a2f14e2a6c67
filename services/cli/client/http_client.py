"""HTTP client for requests that take long: uploads, downloads, and the WebSocket of a batch. Every failure becomes a
`CliError`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp

from services.cli.client.address import Address
from services.cli.client.api import API, nothing_answers, stopped_answering
from services.cli.client.problems import MAX_PROBLEM_BYTES, error_of

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5, sock_read=60)
_UPLOAD = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300)
_DOWNLOAD = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)

Query = Mapping[str, str | int | None]


class HttpClient:
    """Client of the HTTP API of one running Batchyard."""

    def __init__(self, session: aiohttp.ClientSession, address: Address) -> None:
        self._session = session
        self._address = address

    async def get(self, path: str, query: Query | None = None) -> bytes:
        """Fetch a document."""
        return await self._exchange("GET", path, query=_present(query or {}))

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
    async def download(
        self, path: str, query: Query, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that may be long; its body is read by the caller."""
        request = self._session.get(
            self._at(path), params=_present(query), headers=headers, timeout=_DOWNLOAD, allow_redirects=False
        )
        async with self._reached(), request as response:
            await self._refuse_problem(response)
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
            method, self._at(path), params=query, data=body, headers=headers, timeout=timeout, allow_redirects=False
        )
        async with self._reached(), request as response:
            await self._refuse_problem(response)
            return await response.read()

    def _at(self, path: str) -> str:
        return f"{self._address.url}{API}{path}"

    async def _refuse_problem(self, response: aiohttp.ClientResponse) -> None:
        if response.status >= 300:
            body = bytearray()
            while len(body) < MAX_PROBLEM_BYTES and (part := await response.content.read(MAX_PROBLEM_BYTES)):
                body += part
            raise error_of(self._address, response.status, response.reason or "", response.headers, bytes(body))

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise nothing_answers(self._address.url) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise stopped_answering(self._address.url, error) from error


@asynccontextmanager
async def open_client(address: Address) -> AsyncIterator[HttpClient]:
    """Open a client of the Batchyard at an address, for as long as the context lasts."""
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, raise_for_status=False) as session:
        yield HttpClient(session, address)


def _present(query: Query) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in query.items() if value is not None]
