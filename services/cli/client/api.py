"""Requests to the HTTP API that have one short answer. They need nothing but the standard library, so that a command
that asks one question ends as soon as it is answered."""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from services.cli.client.address import Address
from services.cli.client.problems import error_of
from services.cli.errors import NotReachable

API = "/api/v1"
_CONNECT_S = 5.0
ANSWER_S = 60.0
LONG_ANSWER_S = 300.0
"""Seconds to wait for an answer that takes the server a walk over many items."""

Query = Mapping[str, str | int | list[str] | None]


class Api:
    """The HTTP API of one running Batchyard. Every failure is a `CliError`."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def get(self, path: str, query: Query | None = None, *, answer_s: float = ANSWER_S) -> bytes:
        """Fetch a document."""
        return self._exchange("GET", path, query or {}, None, answer_s)

    def send(
        self,
        method: str,
        path: str,
        document: Any = None,
        query: Query | None = None,
        *,
        answer_s: float = ANSWER_S,
    ) -> bytes:
        """Send a JSON document, or nothing, and read the answer."""
        body = None if document is None else msgspec.json.encode(document)
        return self._exchange(method, path, query or {}, body, answer_s)

    def _exchange(self, method: str, path: str, query: Query, body: bytes | None, answer_s: float) -> bytes:
        url = urlsplit(self.address.url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=_CONNECT_S)
        try:
            self._connect(connection, answer_s)
            connection.request(method, f"{url.path}{API}{path}{_query_text(query)}", body, self._headers(body))
            return self._answer(connection.getresponse())
        except (OSError, HTTPException) as error:
            lost = stopped_answering(self.address.url, error)
            raise lost from error
        finally:
            connection.close()

    def _connect(self, connection: HTTPConnection, answer_s: float) -> None:
        try:
            connection.connect()
        except OSError as error:
            raise nothing_answers(self.address.url) from error
        connection.sock.settimeout(answer_s)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        token, kind = self.address.token, "application/json" if body is not None else None
        named = {"Authorization": token and f"Bearer {token}", "Content-Type": kind}
        return {name: value for name, value in named.items() if value}

    def _answer(self, response: HTTPResponse) -> bytes:
        body = response.read()
        if response.status >= 300:
            raise error_of(self.address, response.status, response.reason, response.headers, body)
        return body


def nothing_answers(url: str) -> NotReachable:
    """Return the error of an address where no server listens."""
    return NotReachable(
        f"Nothing answers at {url}.", "Start it with `batchyard up`, or give another address: --url, or BATCHYARD_URL."
    )


def stopped_answering(url: str, error: Exception) -> NotReachable:
    """Return the error of a connection that broke; the same request may succeed later."""
    lost = NotReachable(
        f"{url} stopped answering: {str(error) or 'it takes too long'}.",
        "Try again; if it stays away, look into its log.",
    )
    lost.retry_after_s = 0.0
    return lost


def _query_text(query: Query) -> str:
    present = {name: value for name, value in query.items() if value is not None and value != []}
    return f"?{urlencode(present, doseq=True)}" if present else ""
