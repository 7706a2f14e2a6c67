"""Middleware of every request: a span, security headers, and a problem document for unexpected errors."""

import re

import structlog
from opentelemetry.trace import SpanKind
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.domain.request_quota import RateLimit
from services.ingest.http import problems
from shared.observability.telemetry import span
from shared.runtime.errors import PublishFailed
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")


class RequestMiddleware:
    """Outermost layer of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = message.get("headers", [])
                message["headers"] = [*own, *_missing_headers(own), *_rate_limit_headers(scope)]
            await send(message)

        traceparent = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"traceparent"), None)
        with span(f"{scope['method']} {_ID.sub('{id}', scope['path'])}", traceparent, SpanKind.SERVER):
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                log.info("client disconnected", path=scope["path"])
            except Exception as error:
                retryable = is_transient(error) or isinstance(error, PublishFailed)
                if retryable:
                    log.warning("request failed", path=scope["path"], error=f"{type(error).__name__}: {error}")
                else:
                    log.exception("request failed", path=scope["path"])
                if started:
                    raise  # closes the connection, so that the client notices the incomplete response
                rejection = problems.UNAVAILABLE if retryable else problems.DEFECT
                await problems.problem_response(rejection, scope["path"])(scope, receive, send_with_headers)


def _rate_limit_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return what is left of the quota of requests, if the request was counted."""
    limit: RateLimit | None = scope.get("state", {}).get("rate_limit")
    if limit is None:
        return []
    return [(b"ratelimit-policy", limit.policy_header.encode()), (b"ratelimit", limit.header.encode())]


def _missing_headers(present: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in present}
    return [pair for pair in (*_HEADERS, _API_POLICY, _NO_STORE) if pair[0] not in names]
