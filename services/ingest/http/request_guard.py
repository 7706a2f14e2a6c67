"""Middleware that refuses requests under the name of another host, and such as pages of other origins have sent."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from services.ingest.domain.rejection import Rejection
from services.ingest.http import problems
from services.ingest.http.origin import SAFE_METHODS, PublicAddress

_UNKNOWN_HOST = Rejection(
    "unknown_host",
    "The header Host names another host than this server. Use its own address, or add the name to "
    "BATCHYARD_ALLOWED_HOSTS.",
    421,
)
_FORBIDDEN_ORIGIN = Rejection(
    "forbidden_origin",
    "Pages of other origins may not change anything, nor open WebSockets. Behind a proxy that changes the header Host, "
    "set BATCHYARD_PUBLIC_URL.",
    403,
)


class RequestGuard:
    """Layer in front of all routes. It protects a server without keys from the pages that its user visits."""

    def __init__(self, app: ASGIApp, address: PublicAddress) -> None:
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        rejection = self._rejection(scope)
        if rejection is None:
            await self._app(scope, receive, send)
            return
        response = problems.problem_response(rejection, scope["path"])
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response)
        else:
            await response(scope, receive, send)

    def _rejection(self, scope: Scope) -> Rejection | None:
        headers = Headers(scope=scope)
        host = headers.get("host")
        if not self._address.is_known_host(host):
            return _UNKNOWN_HOST
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        if self._address.is_foreign(headers.get("origin"), headers.get("sec-fetch-site"), host):
            return _FORBIDDEN_ORIGIN
        return None
