"""Posts one signed webhook and reads the answer as little as it can."""

from collections.abc import Callable
from datetime import datetime

import aiohttp
import orjson
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar
from aiohttp.abc import AbstractResolver

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.workload.rate_limit_headers import pause_s
from services.notifier.delivery.webhook_signature import Signer
from services.notifier.domain.attempt import Attempt, http_attempt
from services.notifier.domain.delivery import webhook_id
from services.notifier.persistence.store import Claimed
from shared.observability.telemetry import traceparent
from shared.runtime.egress_guard import AddressRefused, Network, guarded_connector, read_at_most

READ_BYTES = 64 * 1024
KEPT_BYTES = 1024
NO_SECRET = "no secret to sign with: set BATCHYARD_WEBHOOK_SECRET"  # noqa: S105  it says that there is none


def open_session(
    allowed: tuple[Network, ...], timeout_s: float, resolver: AbstractResolver | None = None
) -> ClientSession:
    """A session for untrusted addresses: guarded, without cookies, proxies, decompression or connections kept."""
    return ClientSession(
        connector=guarded_connector(allowed, keep_alive=False, limit=0, resolver=resolver),
        timeout=ClientTimeout(total=timeout_s),
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "Batchyard-Webhooks/1", "Accept-Encoding": "identity"},
    )


class WebhookSender:
    """Sends with one secret, or with none says so."""

    def __init__(self, session: ClientSession, signer: Signer | None, now: Callable[[], datetime]) -> None:
        self._session = session
        self._signer = signer
        self._now = now

    async def send(self, claimed: Claimed) -> Attempt:
        """Make one attempt; every way that it can end is a value."""
        if self._signer is None:
            return Attempt("give_up", NO_SECRET)
        if not claimed.delivery.target.valid:
            return _INVALID
        try:
            return await self._post(claimed, self._signer)
        except TimeoutError:
            return Attempt("try_again", "no answer in time")
        except aiohttp.InvalidURL:
            return _INVALID
        except aiohttp.ClientConnectorError as error:
            return _unconnected(error)
        except (aiohttp.ClientError, OSError) as error:
            return Attempt("try_again", f"broken answer: {type(error).__name__}")
        except ValueError:  # last: errors of certificates are ValueErrors too
            return _INVALID

    async def _post(self, claimed: Claimed, signer: Signer) -> Attempt:
        body = payload(claimed.event)
        headers = dict(signer.headers(webhook_id(claimed.delivery.batch_id, claimed.delivery.round), self._now(), body))
        headers["Content-Type"] = "application/json"
        if trace := traceparent():
            headers["traceparent"] = trace
        url = claimed.delivery.target.address
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            reply, _ = await read_at_most(response, READ_BYTES)
            wait = pause_s(response.headers, self._now())
            return http_attempt(response.status, _kept(reply), wait)


def payload(event: str) -> bytes:
    """The body for an event: the same bytes for every attempt and every receiver."""
    finished_at = orjson.loads(event)["finished_at"]
    return orjson.dumps({"type": BatchFinished.type, "timestamp": finished_at, "data": orjson.Fragment(event)})


_INVALID = Attempt("give_up", "not a valid address")


def _unconnected(error: aiohttp.ClientConnectorError) -> Attempt:
    if isinstance(error.os_error, AddressRefused):
        return Attempt("give_up", "address refused: not public and not in BATCHYARD_WEBHOOK_ALLOWED_NETWORKS")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Attempt("try_again", "name not resolved")
    if isinstance(error, aiohttp.ClientSSLError):
        return Attempt("try_again", f"no secure connection: {type(error.os_error).__name__}")
    return Attempt("try_again", f"not connected: {type(error.os_error).__name__}")


def _kept(reply: bytes) -> str:
    return reply[:KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
