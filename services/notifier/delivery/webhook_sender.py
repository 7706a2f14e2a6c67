"""Posts one signed webhook and reads only a bounded part of the response."""

from collections.abc import Callable
from datetime import datetime

import aiohttp
import orjson
from aiohttp import ClientSession, ClientTimeout
from aiohttp.abc import AbstractResolver

from batchyard_contracts.egress import Network
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.workload.rate_limit_headers import pause_s
from services.notifier.delivery.webhook_signature import WebhookSigner
from services.notifier.domain.attempt import Attempt, http_attempt
from services.notifier.domain.delivery import webhook_id
from services.notifier.persistence.store import ClaimedDelivery
from shared.http import session as http
from shared.http.failure_words import failure_words
from shared.http.response_head import HEAD_TOO_LARGE
from shared.observability.telemetry import traceparent
from shared.runtime.egress_guard import AddressRefused, guarded_connector, read_at_most

MAX_READ_BYTES = 64 * 1024
MAX_REPLY_BYTES = 1024
NO_SECRET = "no secret to sign with: set BATCHYARD_WEBHOOK_SECRET"  # noqa: S105  an error message, not a secret


def open_session(
    allowed: tuple[Network, ...], timeout_s: float, resolver: AbstractResolver | None = None
) -> ClientSession:
    """Open an HTTP session for untrusted addresses: guarded, without cookies, proxies, decompression or keep-alive."""
    return http.open_session(
        guarded_connector(allowed, keep_alive=False, limit=0, resolver=resolver),
        timeout=ClientTimeout(total=timeout_s),
        auto_decompress=False,
        headers={"User-Agent": "Batchyard-Webhooks/1", "Accept-Encoding": "identity"},
    )


class WebhookSender:
    """Sender of signed webhooks; without a secret every attempt fails."""

    def __init__(self, session: ClientSession, signer: WebhookSigner | None, now: Callable[[], datetime]) -> None:
        self._session = session
        self._signer = signer
        self._now = now

    async def send(self, claimed: ClaimedDelivery) -> Attempt:
        """Make one attempt; failures are returned, not raised."""
        if self._signer is None:
            return Attempt("give_up", NO_SECRET)
        if not claimed.delivery.target.is_valid:
            return _INVALID
        try:
            return await self._post(claimed, self._signer)
        except TimeoutError:
            return Attempt("retry", "timeout")
        except aiohttp.InvalidURL:
            return _INVALID
        except aiohttp.ClientConnectorError as error:
            return _connection_failure(error)
        except (aiohttp.ClientError, OSError) as error:
            what = HEAD_TOO_LARGE if http.is_head_too_large(error) else failure_words(error)
            return Attempt("retry", f"no valid answer: {what}")
        except ValueError:  # last, because certificate errors are ValueErrors too
            return _INVALID

    async def _post(self, claimed: ClaimedDelivery, signer: WebhookSigner) -> Attempt:
        body = payload(claimed.event)
        headers = dict(signer.headers(webhook_id(claimed.delivery.batch_id, claimed.delivery.round), self._now(), body))
        headers["Content-Type"] = "application/json"
        if trace := traceparent():
            headers["traceparent"] = trace
        url = claimed.delivery.target.address
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            reply, _ = await read_at_most(response, MAX_READ_BYTES)
            wait = pause_s(response.headers, self._now())
            return http_attempt(response.status, _excerpt(reply), wait)


def payload(event: str) -> bytes:
    """Return the body for an event: the same bytes for every attempt and every receiver."""
    finished_at = orjson.loads(event)["finished_at"]
    return orjson.dumps({"type": BatchFinished.type, "timestamp": finished_at, "data": orjson.Fragment(event)})


_INVALID = Attempt("give_up", "not a valid address")


def _connection_failure(error: aiohttp.ClientConnectorError) -> Attempt:
    if isinstance(error.os_error, AddressRefused):
        return Attempt("give_up", "address refused: not public and not in BATCHYARD_WEBHOOK_ALLOWED_NETWORKS")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Attempt("retry", "host name not resolved")
    if isinstance(error, aiohttp.ClientSSLError):
        return Attempt("retry", f"no secure connection: {failure_words(error)}")
    return Attempt("retry", f"not connected: {failure_words(error)}")


def _excerpt(reply: bytes) -> str:
    return reply[:MAX_REPLY_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
