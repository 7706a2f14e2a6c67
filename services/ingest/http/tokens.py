"""Authentication by bearer tokens."""

import hmac
from collections.abc import Mapping

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

DEFAULT_OWNER = "default"
PROTOCOL = "batchyard"
_BEARER_PREFIX = "bearer."
_UNAUTHORIZED = Rejection("unauthorized", "Send `Authorization: Bearer <token>` with a valid token.", 401)


class Tokens:
    """Owners of bearer tokens. Without any token the API is open, and every client is the owner "default"."""

    def __init__(self, tokens: Mapping[str, SecretStr]) -> None:
        self._tokens = [(owner, token.get_secret_value().encode()) for owner, token in tokens.items()]

    @property
    def required(self) -> bool:
        """True when clients need a token."""
        return bool(self._tokens)

    def owner(self, connection: HTTPConnection) -> str:
        """Return the owner of a request; raises `IngestError` (401).

        A browser cannot set headers of a WebSocket: its token may be the subprotocol `bearer.<token>`, beside
        `batchyard`.
        """
        if not self._tokens:
            return DEFAULT_OWNER
        scheme, _, presented = connection.headers.get("authorization", "").partition(" ")
        if not presented and connection.scope["type"] == "websocket":
            offered: list[str] = connection.scope.get("subprotocols", [])
            presented = next((p.removeprefix(_BEARER_PREFIX) for p in offered if p.startswith(_BEARER_PREFIX)), "")
            scheme = "bearer"
        found = None
        for owner, token in self._tokens:  # compares with all of them, so that the duration reveals nothing
            if hmac.compare_digest(token, presented.strip().encode()):
                found = owner
        if found is None or scheme.lower() != "bearer":
            raise IngestError(_UNAUTHORIZED)
        return found
