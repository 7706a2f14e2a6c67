"""Calls to a provider: bounded answers, and errors that tell whether a call may have had its effect."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from yarl import URL

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.providers.provider import MayExist
from services.worker.workloads.videos.settings import VideosSettings
from shared.http.failure_words import failure_words
from shared.http.session import open_session
from shared.runtime.egress_guard import AddressRefused, guarded_connector, read_at_most

MAX_BYTES = 64 * 2**20
"""Largest answer that is read: some hold the clip itself, as a data URI."""
_AGENT = "Batchyard-Videos/1"


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """Answer of a provider; `body` is None unless it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def ok(self) -> bool:
        """Tell whether the call succeeded."""
        return 200 <= self.status < 300


class ProviderClient:
    """HTTP client of one provider. Calls that create go over connections of their own, made for each: one that the
    other side has just closed would leave open whether it took the call."""

    def __init__(
        self,
        url: str,
        calls: aiohttp.ClientSession,
        creating: aiohttp.ClientSession,
        outside: aiohttp.ClientSession,
        download_s: float,
    ) -> None:
        self.url = url
        self._calls, self._creating, self._outside = calls, creating, outside
        self._time = aiohttp.ClientTimeout(total=download_s, sock_connect=10, sock_read=60)

    async def ask(self, method: str, address: str, *, params: Mapping[str, str] | None = None) -> ProviderAnswer:
        """Make a call that may be repeated. `address` is a path, or a whole address of the same provider."""
        return await self._send(self._calls, method, address, params=params)

    async def create(self, address: str, *, headers: Mapping[str, str], **body: Any) -> ProviderAnswer:
        """Make a call that must not be repeated. Raises `MayExist` without an answer."""
        on_way = SimpleNamespace(sent=False)
        try:
            return await self._send(self._creating, "POST", address, headers=headers, trace_request_ctx=on_way, **body)
        except Transient as error:
            if on_way.sent:
                raise MayExist(error.message) from error
            raise

    @asynccontextmanager
    async def fetch(self, address: str, *, own: bool) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with a file. `own`: it is the provider's, called with its key; a redirect leads outside, where
        only public addresses are reached, without the key."""
        async with AsyncExitStack() as stack:
            try:
                session = self._calls if own else self._outside
                url = self._full(address) if own else address
                got = await stack.enter_async_context(
                    session.get(url, allow_redirects=not own, timeout=self._time, max_redirects=3)
                )
                if own and got.status in {301, 302, 303, 307, 308} and "Location" in got.headers:
                    target = str(got.url.join(URL(got.headers["Location"])))
                    got = await stack.enter_async_context(
                        self._outside.get(target, timeout=self._time, max_redirects=3)
                    )
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _no_answer(error) from error
            yield got

    def _full(self, address: str) -> str:
        return address if address.startswith(self.url) else f"{self.url}{address}"

    async def _send(self, session: aiohttp.ClientSession, method: str, address: str, **more: Any) -> ProviderAnswer:
        try:
            async with session.request(method, self._full(address), allow_redirects=False, **more) as response:
                body, whole = await read_at_most(response, MAX_BYTES)
                if not whole:
                    raise Transient("incomplete_response", "The provider's answer broke off, or has no end.")
                return ProviderAnswer(response.status, response.headers, _json(body))
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(error) from error


def _no_answer(error: Exception) -> Transient | Permanent:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return Permanent("address_refused", "The clip is at an address that is not public; an operator may allow it.")
    if isinstance(error, TimeoutError):
        return Transient("unreachable", "The provider did not answer in time.")
    return Transient("unreachable", f"The provider gave no answer: {failure_words(error)}.")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


@asynccontextmanager
async def open_client(settings: VideosSettings) -> AsyncIterator[ProviderClient]:
    """Open a client of the provider that the settings describe."""
    key = settings.key.get_secret_value()
    ours = {"Authorization": f"Bearer {key}"} if key else {}
    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(_mark_sent)
    time = aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=10)

    def session(connector: aiohttp.TCPConnector, headers: Mapping[str, str], **more: Any) -> aiohttp.ClientSession:
        return open_session(connector, headers={"User-Agent": _AGENT, **headers}, timeout=time, **more)

    async with (
        session(aiohttp.TCPConnector(), ours) as calls,
        session(aiohttp.TCPConnector(force_close=True), ours, trace_configs=[watch]) as creating,
        session(guarded_connector(settings.allowed_networks), {}) as outside,
    ):
        yield ProviderClient(settings.base_url, calls, creating, outside, settings.download_s)


async def _mark_sent(_: Any, context: SimpleNamespace, __: Any) -> None:
    """Mark a request as sent: from here on the provider may act on it."""
    context.trace_request_ctx.sent = True
