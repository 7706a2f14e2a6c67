"""HTTP calls to matrix services, with limits of time and size, and the errors that all services share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from pydantic_core import from_json

from batchyard_contracts.workload import Permanent, Transient, WorkloadError
from batchyard_contracts.workload.rate_limit_headers import pause_s
from services.worker.domain.status_errors import ACCESS, error_of
from shared.http.failure_words import failure_words

MAX_ANSWER_BYTES = 32 * 1024 * 1024
_AWAY = frozenset((502, 503))


@dataclass(frozen=True, slots=True)
class MatrixReply:
    """Answer: its status, its body as JSON (None if it is none), and the pause that it requests."""

    status: int
    document: Any
    retry_after_s: float | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MatrixClient:
    """HTTP client of one matrix service."""

    session: aiohttp.ClientSession
    base_url: str
    name: str

    async def ask(
        self, method: str, path: str, document: object = None, headers: Mapping[str, str] | None = None
    ) -> MatrixReply:
        """Call the service. Raises `Transient` (`timeout`, `provider_unavailable`) when no whole answer came."""
        try:
            async with self.session.request(
                method, self.base_url + path, json=document, headers=headers, allow_redirects=False
            ) as response:
                body = await _body(response, self.name)
                pause = pause_s(response.headers, datetime.now(UTC))
                return MatrixReply(response.status, _parsed(body), pause, response.headers)
        except TimeoutError as error:
            raise Transient("timeout", f"{self.name} did not answer in time.") from error
        except aiohttp.ClientError as error:
            what = failure_words(error)
            raise Transient(
                "provider_unavailable", f"{self.name} could not be asked: {what}.", scope="provider"
            ) from error


def failure(name: str, reply: MatrixReply, said: str) -> WorkloadError:
    """Return the error for a status whose code the service does not explain."""
    status, text = reply.status, f"{name} answered with status {reply.status}{f': {said[:300]}' if said else ''}."
    if status in ACCESS:
        return Permanent("provider_refused", f"{text} Check the key and the account.", scope="provider")
    if status in (404, 405):
        text = f"{text} Nothing answers matrices there: check BATCHYARD_DISTANCES_URL."
        return Permanent("provider_misconfigured", text, scope="provider")
    if 200 <= status < 300:
        return invalid(name)
    error = error_of(status, reply.headers, text, datetime.now(UTC))
    away = isinstance(error, Transient) and status in _AWAY  # of others, a smaller block may do
    return Transient(error.code, text, scope="provider") if away else error


def invalid(name: str) -> WorkloadError:
    """Return the error for an answer that does not follow the description of the service."""
    return Transient("invalid_response", f"{name} answered with something that is no matrix.")


async def _body(response: aiohttp.ClientResponse, name: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise Permanent("response_too_large", f"{name} sent more than {MAX_ANSWER_BYTES // 1024**2} MiB.")
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
