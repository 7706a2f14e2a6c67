"""Authentication of requests by API keys and sessions, and the scopes that a route asks for."""

from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any

from fastapi import Query, Request, WebSocket
from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from batchyard_contracts.v1.values import Owner
from services.ingest.domain.actor import Actor
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.scope import Scope, missing_scopes
from services.ingest.http.origin import SAFE_METHODS, PublicAddress
from services.ingest.identity.authenticator import Authenticator, Credential
from services.ingest.limits.limit_keeper import LimitKeeper, TooManyRequests
from services.ingest.persistence.audit_log import AuditLog, act_as
from shared.runtime.owner_turns import OwnerTurns
from shared.runtime.transient import retry_transient

PROTOCOL = "batchyard"
READ = "payloads.read"
"""Action of the audit: an operator reads what another owner has."""
_NAMED_OWNER: TypeAdapter[str | None] = TypeAdapter(Owner | None)
_BEARER_PREFIX = "bearer."
_MAX_KEY_CHARS = 512
_CSRF_HEADER = "x-batchyard"
_UNAUTHORIZED = Rejection("unauthorized", "Send `Authorization: Bearer <API key>` with a valid key, or sign in.", 401)
_CSRF = Rejection(
    "forbidden_origin",
    "A request that changes something by a session needs the header X-Batchyard, and has to come from a page of this "
    "address.",
    403,
)


class Access:
    """Checks who sends a request, and whether its key may do what the route does."""

    def __init__(
        self, authenticator: Authenticator, address: PublicAddress, audit: AuditLog, limits: LimitKeeper
    ) -> None:
        self.authenticator = authenticator
        self.address = address
        self.audit = audit
        self.limits = limits
        self.turns = OwnerTurns()
        """Turns of the owners, in which requests and commands begin."""

    def caller(self, *scopes: Scope) -> "CallerCheck":
        """Return a dependency that gives the client, whose key needs these scopes."""
        return CallerCheck(self, scopes)

    def owner(self, *scopes: Scope) -> "OwnerCheck":
        """Return a dependency that gives the client's owner."""
        return OwnerCheck(self, scopes)

    def any_owner(self, *scopes: Scope, others: Sequence[Scope] = ("operate",)) -> "AnyOwnerCheck":
        """Return a dependency that gives the client's owner, or the one that a client with these `others` names."""
        return AnyOwnerCheck(self, scopes, others)

    async def authenticate(self, connection: HTTPConnection, scopes: Sequence[Scope] = ()) -> Caller:
        """Return the client when its owner has a turn; raises `IngestError`: 401 without a valid key, 403 when its key
        lacks a scope, 429 when its quota of requests is used up."""
        address = connection.client.host if connection.client else ""
        credential = self.credential(connection)
        caller = await self.authenticator.caller(credential, address)
        if caller is None:
            raise IngestError(_UNAUTHORIZED)
        if caller.by_session and connection.scope.get("method", "GET") not in SAFE_METHODS:
            self._check_session_request(connection)
        if missing := missing_scopes(scopes, caller.scopes):
            raise IngestError(lacks_scopes(missing))
        act_as(Actor(caller.owner, "http", caller.key_id, address))
        connection.state.caller = caller
        self._take_request(connection, caller)
        await self.turns.take(caller.owner)
        return caller

    def credential(self, connection: HTTPConnection) -> Credential | None:
        """Return the key or session that comes with a request.

        A browser cannot set headers of a WebSocket: its key may be the subprotocol `bearer.<key>`, beside `batchyard`.
        """
        scheme, _, presented = connection.headers.get("authorization", "").partition(" ")
        if not scheme and connection.scope["type"] == "websocket":
            offered: list[str] = connection.scope.get("subprotocols", [])
            presented = next((p.removeprefix(_BEARER_PREFIX) for p in offered if p.startswith(_BEARER_PREFIX)), "")
            scheme = "bearer" if presented else ""
        if scheme:
            presented = presented.strip()
            is_key = scheme.lower() == "bearer" and 0 < len(presented) <= _MAX_KEY_CHARS
            return Credential.of_key(presented) if is_key else None
        session_id = _cookie(connection.headers.get("cookie", ""), self.address.cookie_name)
        return Credential.of_session(session_id) if session_id else None

    async def wait_until_ended(self, connection: HTTPConnection) -> None:
        """Wait until the key or session of a connection has ended, however often PostgreSQL is away meanwhile."""
        credential = self.credential(connection)
        await retry_transient(lambda: self.authenticator.wait_until_ended(credential), "PostgreSQL")

    def _take_request(self, connection: HTTPConnection, caller: Caller) -> None:
        """Count a request, and leave what is left of its quota for the headers of the answer."""
        try:
            connection.state.rate_limit = self.limits.take_request(caller)
        except TooManyRequests as error:
            connection.state.rate_limit = error.limit
            raise

    def _check_session_request(self, connection: HTTPConnection) -> None:
        """Refuse what a page of another origin may have sent; its browser adds the cookie by itself."""
        from_here = connection.headers.get("sec-fetch-site") == "same-origin" or self.address.is_own_origin(
            connection.headers.get("origin"), connection.headers.get("host")
        )
        if not from_here or _CSRF_HEADER not in connection.headers:
            raise IngestError(_CSRF)


class CallerCheck:
    """Dependency of a route that gives the client."""

    def __init__(self, access: Access, scopes: Sequence[Scope]) -> None:
        self._access, self.scopes = access, tuple(scopes)

    async def __call__(self, request: Request) -> Caller:
        """Return the client; raises `IngestError`."""
        return await self._access.authenticate(request, self.scopes)


class OwnerCheck:
    """Dependency of a route that gives the owner whose things the request concerns."""

    def __init__(self, access: Access, scopes: Sequence[Scope]) -> None:
        self._access, self.scopes = access, tuple(scopes)

    async def __call__(self, request: Request) -> str:
        """Return the owner; raises `IngestError`."""
        return (await self._access.authenticate(request, self.scopes)).owner


class AnyOwnerCheck(OwnerCheck):
    """Dependency of a route by which an operator may act for another owner."""

    def __init__(self, access: Access, scopes: Sequence[Scope], others: Sequence[Scope]) -> None:
        super().__init__(access, scopes)
        self.others = tuple(others)

    async def __call__(
        self,
        request: Request,
        owner: Annotated[Owner | None, Query(description="for operators: the owner of the batches")] = None,
    ) -> str:
        """Return the owner; raises `IngestError`."""
        found, is_other = await self._find(request, owner)
        if is_other and "payloads:read" in self.others:
            await self._access.audit.record(READ, found, request.path_params["batch_id"], {"path": request.url.path})
        return found

    async def of_socket(self, socket: WebSocket) -> str:
        """Return the owner whose things a WebSocket shows; raises `IngestError`."""
        try:
            named = _NAMED_OWNER.validate_python(socket.query_params.get("owner"))
        except ValidationError as error:
            raise IngestError(Rejection("invalid_request", "`owner` is no name of an owner.", 422)) from error
        return (await self._find(socket, named))[0]

    async def _find(self, connection: HTTPConnection, owner: str | None) -> tuple[str, bool]:
        """Return the owner, and whether it is another one than the client's."""
        caller = await self._access.authenticate(connection, self.scopes)
        if owner is None or owner == caller.owner:
            return caller.owner, False
        if missing := missing_scopes(self.others, caller.scopes):
            raise IngestError(lacks_scopes(missing))
        return owner, True


def caller_of(connection: HTTPConnection) -> Caller:
    """Return the client of a request that was authenticated."""
    caller: Caller = connection.state.caller
    return caller


def lacks_scopes(missing: Sequence[str]) -> Rejection:
    """Return the rejection of a request whose key lacks scopes."""
    return Rejection("forbidden", f"The API key lacks the scope {' and '.join(missing)}. Use one that has it.", 403)


def scopes_of(dependant: Any) -> list[Scope] | None:
    """Return the scopes that a route asks for by its dependencies; None when it asks for no key."""
    found: list[Scope] | None = None
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, CallerCheck | OwnerCheck):
            found = [*(found or []), *dependency.call.scopes]
        elif (below := scopes_of(dependency)) is not None:
            found = [*(found or []), *below]
    return found


def _cookie(header: str, name: str) -> str | None:
    if name not in header or len(header) > _MAX_KEY_CHARS * 8:
        return None
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return found.value if found is not None and len(found.value) <= _MAX_KEY_CHARS else None
