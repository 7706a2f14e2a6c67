"""Bearer tokens: who a caller is."""

import hmac
from collections.abc import Mapping

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused

DEFAULT_OWNER = "default"
PROTOCOL = "batchyard"
_IN_PROTOCOL = "bearer."
_WRONG = Fault("unauthorized", "Send `Authorization: Bearer <token>` with a token that this service knows.", 401)


class Tokens:
    """The owner of each token. Without any token the door is open, and everybody is "default"."""

    def __init__(self, tokens: Mapping[str, SecretStr]) -> None:
        self._tokens = [(owner, token.get_secret_value().encode()) for owner, token in tokens.items()]

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._tokens)

    def owner(self, connection: HTTPConnection) -> str:
        """Whose request it is; raises `Refused` (401).

        A browser cannot set headers of a WebSocket: there the token may come as the subprotocol `bearer.<token>`,
        beside `batchyard`.
        """
        if not self._tokens:
            return DEFAULT_OWNER
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if not given and connection.scope["type"] == "websocket":
            offered: list[str] = connection.scope.get("subprotocols", [])
            given = next((p.removeprefix(_IN_PROTOCOL) for p in offered if p.startswith(_IN_PROTOCOL)), "")
            scheme = "bearer"
        found = None
        for owner, token in self._tokens:  # all of them, always: the time taken tells nothing
            if hmac.compare_digest(token, given.strip().encode()):
                found = owner
        if found is None or scheme.lower() != "bearer":
            raise Refused(_WRONG)
        return found
