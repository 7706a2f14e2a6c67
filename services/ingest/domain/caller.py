"""The client behind a request: its owner, and its rights."""

from dataclasses import dataclass

from batchyard_contracts.v1.values import Owner
from services.ingest.domain.scope import ALL_SCOPES, Scope

DEFAULT_OWNER: Owner = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    """Id of the API key; None as long as the installation has no keys."""
    by_session: bool = False
    """True for a browser that has exchanged its key for a session."""

    @property
    def is_operator(self) -> bool:
        """True for a client that may act for all owners."""
        return "operate" in self.scopes


ANYBODY = Caller(DEFAULT_OWNER, ALL_SCOPES)
"""Every client of an installation without keys, which is served on the machine itself only."""
