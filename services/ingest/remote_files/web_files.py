"""Reads a file at a URL. Redirects are followed one by one, each to a public address or an allowed network."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from yarl import URL

from batchyard_contracts.egress import Network
from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.domain.remote_file import MAX_REDIRECTS, FileAway, FileUnreadable, RemoteFile, shown_name
from services.ingest.remote_files.content import FileContent, changed
from shared.http.failure_words import failure_words
from shared.http.session import open_session
from shared.runtime.egress_guard import AddressRefused, guarded_connector

_CONNECT_S, _IDLE_S = 10.0, 30.0
_PIECE = 64 * 1024
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))


class WebFiles:
    """Reader of files at URLs."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._session = open_session(
            guarded_connector(allowed, keep_alive=False, limit=0),
            auto_decompress=False,
            headers={"User-Agent": "Batchyard-Files/1", "Accept-Encoding": "gzip, identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_IDLE_S),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def list_files(self, form: RemoteFiles) -> tuple[RemoteFile, ...]:
        """Return the one file at the URL."""
        return (RemoteFile(name=shown_name(form.url)),)

    @asynccontextmanager
    async def open(self, form: RemoteFiles, file: RemoteFile, version: str | None) -> AsyncIterator[FileContent]:
        """Open the file at the URL."""
        headers = {"If-Match": version} if version is not None and version.startswith('"') else {}
        answer = await self._answer(form.url, headers)
        try:
            if answer.status == HTTPStatus.PRECONDITION_FAILED:
                raise changed()
            if answer.status in _LATER:
                raise FileAway(f"It answered with the status {answer.status}.")
            if answer.status != HTTPStatus.OK:
                detail = f"It answered with the status {answer.status}. Check the address, and that it may be read."
                raise FileUnreadable("file_unavailable", detail)
            found = _version(answer)
            if version is not None and found != version:
                raise changed()
            lower = {name.lower(): value for name, value in answer.headers.items()}
            yield FileContent(lower, found, _chunks(answer))
        finally:
            answer.close()

    async def _answer(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Return the answer behind all redirects."""
        try:
            place = URL(url)
            for _ in range(MAX_REDIRECTS + 1):
                answer = await self._session.get(place, headers=headers, allow_redirects=False)
                target = answer.headers.get("location")
                if answer.status not in _REDIRECTS or target is None:
                    return answer
                answer.close()
                place = _redirected(place, target)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                raise FileUnreadable("address_refused", str(error.os_error)) from error
            raise FileAway(f"No connection: {failure_words(error)}.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FileAway(f"No complete answer: {failure_words(error)}.") from error
        except ValueError as error:
            raise FileUnreadable("address_refused", "The address, or that of a redirect, is not a URL.") from error
        raise FileUnreadable("too_many_redirects", f"It leads through more than {MAX_REDIRECTS} redirects.")


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_chunked(_PIECE):
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise FileAway(f"No complete answer: {failure_words(error)}.") from error


def _redirected(place: URL, target: str) -> URL:
    there = place.join(URL(target))
    if there.scheme not in {"http", "https"} or (place.scheme == "https" and there.scheme != "https"):
        raise FileUnreadable("address_refused", "A redirect leads from https to another scheme.")
    if there.user is not None or there.password is not None:
        raise FileUnreadable("address_refused", "A redirect names a user or a password.")
    return there


def _version(answer: aiohttp.ClientResponse) -> str | None:
    """Return the entity tag, or else the time of the last change with the size."""
    if tag := answer.headers.get("etag"):
        return tag[:1000]
    changed_at = answer.headers.get("last-modified")
    return f"{changed_at[:100]} {answer.headers.get('content-length', '')[:30]}" if changed_at else None
