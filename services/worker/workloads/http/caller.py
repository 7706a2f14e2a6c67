"""Makes calls: guarded connections, redirects one by one, errors that tell whether a call may have had its effect."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from yarl import URL

from batchyard_contracts.workload import Ambiguous, Permanent, Transient, WorkloadError
from services.worker.workloads.http.model import MAX_READ_BYTES, Call
from services.worker.workloads.http.settings import Credential, HttpSettings
from services.worker.workloads.http.verdict import HttpResponse
from shared.http.failure_words import failure_words
from shared.http.response_head import HEAD_TOO_LARGE
from shared.http.session import is_head_too_large, open_session
from shared.runtime.egress_guard import AddressRefused, guarded_connector, read_at_most

CONNECT_TIMEOUT_S = 10.0
MAX_CONNECTIONS_PER_HOST = 20
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HARMLESS = frozenset(("accept", "accept-language", "user-agent"))
"""Headers that are kept when a redirect leads to another origin."""
_REFUSED = (
    "The address is not a public one on port 80 or 443. An operator may allow its network: "
    "BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls over sessions that all items share. `fresh` opens a connection for each call: on one that was kept, nobody
    knows whether a call that failed has arrived."""

    pooled: aiohttp.ClientSession
    fresh: aiohttp.ClientSession
    credentials: Mapping[str, Credential]

    def secret_headers(self, call: Call, owner: str) -> dict[str, str]:
        """Return the headers that the operator keeps for a call of an owner. Raises `Permanent` when its destination
        has none, or none for this owner, which looks the same."""
        if call.credential is None:
            return {}
        known = self.credentials.get(call.credential)
        is_open = known is not None and (known.owners is None or owner in known.owners)
        if known is None or not is_open or known.origin != str(_parsed(call.url).origin()):
            raise Permanent(
                "credential_refused",
                f"The operator keeps no {call.credential!r} for this destination and owner "
                "(BATCHYARD_HTTP_CALLS_CREDENTIALS).",
            )
        return {name: value.get_secret_value() for name, value in known.headers.items()}

    async def call(self, call: Call, secret_headers: Mapping[str, str], idempotency_key: str) -> HttpResponse:
        """Return the answer of any status. Raises `Permanent` for an address that may not be called, `Transient` if the
        answer is incomplete, and `Ambiguous` if the call must not be repeated and may have had its effect."""
        url = start = _parsed(call.url)
        data, headers = _body(call), _headers(call, secret_headers, idempotency_key)
        for _ in range(call.redirects + 1):
            reply, target = await self._one(call, url, headers, data)
            if target is None:
                return reply
            if target.origin() != start.origin():
                headers = {name: value for name, value in headers.items() if name.lower() in _HARMLESS}
            url = target
        raise Permanent("too_many_redirects", f"The destination redirects more than {call.redirects} times.")

    async def _one(
        self, call: Call, url: URL, headers: Mapping[str, str], data: bytes | None
    ) -> tuple[HttpResponse, URL | None]:
        on_way = SimpleNamespace(sent=False)
        session = self.pooled if call.is_repeatable else self.fresh
        try:
            async with session.request(
                call.method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
                trace_request_ctx=on_way,
            ) as response:
                limit = MAX_READ_BYTES if call.success.has_body_condition else max(call.keep_bytes, 1024)
                body, whole = await read_at_most(response, limit)
                if not whole and len(body) < limit:
                    raise _lost(call, on_way.sent, "incomplete_response", "The answer broke off.")
                content = response.headers.get("Content-Type", "")
                media_type = response.content_type if content else ""
                charset = (response.charset or "").lower()
                reply = HttpResponse(response.status, str(url), response.headers, body, whole, media_type, charset)
                return reply, _target(response, url) if call.redirects else None
        except TimeoutError as error:
            raise _lost(call, on_way.sent, "timeout", f"No answer within {call.timeout_s:g} s.") from error
        except aiohttp.InvalidURL as error:
            raise Permanent("url_refused", "The address is not a URL.") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                raise Permanent("address_refused", _REFUSED) from error
            raise Transient("unreachable", f"No connection: {failure_words(error)}.") from error
        except (aiohttp.ClientError, OSError) as error:
            if is_head_too_large(error):
                raise _unreadable(call) from error
            raise _lost(call, on_way.sent, "incomplete_response", f"No answer: {failure_words(error)}.") from error
        except ValueError as error:  # last: errors of certificates are ValueErrors too
            raise Permanent("url_refused", "The address is not a URL.") from error


@asynccontextmanager
async def open_caller() -> AsyncIterator[Caller]:
    """Open a caller by the settings of the environment; it is closed with the worker."""
    settings = HttpSettings()
    async with AsyncExitStack() as stack:
        pooled, fresh = [await stack.enter_async_context(_session(settings, keep)) for keep in (True, False)]
        yield Caller(pooled, fresh, settings.credentials)


def _session(settings: HttpSettings, keep_alive: bool) -> aiohttp.ClientSession:
    return open_session(
        guarded_connector(
            settings.allowed_networks, keep_alive=keep_alive, limit=0, limit_per_host=MAX_CONNECTIONS_PER_HOST
        ),
        auto_decompress=False,
        headers={"User-Agent": "Batchyard-Http/1", "Accept-Encoding": "identity"},
        trace_configs=[_watch()],
    )


def _watch() -> aiohttp.TraceConfig:
    """Return a tracer that marks a request as sent: from then on the destination may act on it."""

    async def mark_sent(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.sent = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(mark_sent)
    return config


def _lost(call: Call, sent: bool, code: str, said: str) -> WorkloadError:
    if sent and not call.is_repeatable:
        return Ambiguous(f"{said} The call may have had its effect, and is not repeated by itself.")
    return Transient(code, said)


def _unreadable(call: Call) -> WorkloadError:
    if call.is_repeatable:
        return Permanent("headers_too_large", HEAD_TOO_LARGE)
    return Ambiguous(f"{HEAD_TOO_LARGE} The call may have had its effect, and is not repeated by itself.")


def _headers(call: Call, secret_headers: Mapping[str, str], idempotency_key: str) -> dict[str, str]:
    ours = {name.lower() for name in secret_headers}
    headers = {name: value for name, value in call.headers.items() if name.lower() not in ours} | dict(secret_headers)
    names = {name.lower() for name in headers}
    if call.has_json and "content-type" not in names:
        headers["Content-Type"] = "application/json"
    if call.body is not None and "content-type" not in names:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    if call.method not in ("GET", "HEAD", "OPTIONS") and "idempotency-key" not in names:
        headers["Idempotency-Key"] = f'"{idempotency_key}"'
    return headers


def _body(call: Call) -> bytes | None:
    if call.has_json:
        return orjson.dumps(call.json_body)
    return None if call.body is None else call.body.encode("utf-8", "replace")


def _target(response: aiohttp.ClientResponse, url: URL) -> URL | None:
    """Return the target of a redirect that can be followed, else None."""
    if response.status not in _REDIRECTS or "Location" not in response.headers:
        return None
    target = url.join(_parsed(response.headers["Location"]))
    if target.scheme not in ("http", "https") or not target.host or target.user is not None:
        raise Permanent("redirect_refused", "The destination redirects to what is no plain http address.")
    return target


def _parsed(address: str) -> URL:
    try:
        url = URL(address)
        url.port  # noqa: B018  read here, where it may be wrong
    except ValueError as error:
        raise Permanent("url_refused", "The address is not a URL.") from error
    return url
