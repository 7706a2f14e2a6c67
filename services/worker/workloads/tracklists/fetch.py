"""Fetches a tracklist page: from allowed origins only, with a bounded body and time, following few redirects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from batchyard_contracts.workload import Permanent, Transient
from batchyard_contracts.workload.rate_limit_headers import pause_s, remaining_calls
from services.worker.workloads.tracklists.answer import PageAnswer, as_error
from services.worker.workloads.tracklists.policy import FetchPolicy
from services.worker.workloads.tracklists.settings import TracklistsSettings
from shared.http.failure_words import failure_words
from shared.http.session import open_session

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_REDIRECTS = 2
CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS_PER_HOST = 8

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252"))


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches pages over one shared session."""

    session: aiohttp.ClientSession
    policy: FetchPolicy

    async def fetch(self, address: str) -> PageAnswer:
        """Return the site's answer of any status.

        Raises `Permanent` for an address that may not be fetched or a page above 2 MiB, and `Transient` (`timeout`,
        `unreachable`) when no whole answer came.
        """
        start = url = _parsed(address)
        if refusal := self.policy.refuse(url):
            raise as_error(refusal)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer, target = await self._get(url)
            except TimeoutError as error:
                raise Transient("timeout", f"{url.host} did not send the page in time.") from error
            except aiohttp.ClientError as error:
                raise Transient("unreachable", f"{url.host} could not be asked: {failure_words(error)}.") from error
            if target is None:
                return answer
            if refusal := self.policy.refuse_redirect(start, target):
                raise as_error(refusal)
            url = target
        raise Permanent("too_many_redirects", f"The page redirects more than {MAX_REDIRECTS} times.")

    async def _get(self, url: URL) -> tuple[PageAnswer, URL | None]:
        async with self.session.get(url, allow_redirects=False) as response:
            headers = response.headers
            if response.status in _REDIRECTS and "Location" in headers:
                return PageAnswer("", response.status, str(url)), url.join(_parsed(headers["Location"]))
            now = datetime.now(UTC)
            asked_s, left = pause_s(headers, now), remaining_calls(headers, now)
            html = await _body(response)
            return PageAnswer(html, response.status, str(url), asked_s, "cf-mitigated" in headers, left), None


@asynccontextmanager
async def open_fetcher() -> AsyncIterator[Fetcher]:
    """Open the fetcher that the settings describe; it is closed with the worker."""
    settings = TracklistsSettings()
    contact = f"; {settings.contact}" if settings.contact else ""
    async with open_session(
        aiohttp.TCPConnector(limit_per_host=MAX_CONNECTIONS_PER_HOST),
        headers={"User-Agent": f"Batchyard/0.1 (tracklists workload{contact})", "Accept": "text/html"},
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
    ) as session:
        yield Fetcher(session, FetchPolicy.of(settings))


async def _body(response: aiohttp.ClientResponse) -> str:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Permanent("page_too_large", f"The page is larger than {MAX_BODY_BYTES // 1024**2} MiB.")
    charset = (response.charset or "").lower()
    return body.decode(charset if charset in _CHARSETS else "utf-8", "replace")


def _parsed(address: str) -> URL:
    try:
        return URL(address)
    except ValueError as error:
        raise Permanent("url_refused", "The address is not a URL.") from error
