"""The client that gives a command, as the audit names it."""

from dataclasses import dataclass
from typing import Literal

Door = Literal["http", "amqp", "service"]


@dataclass(frozen=True, slots=True)
class Actor:
    """A client, and the way by which its command came."""

    owner: str
    door: Door
    key_id: str | None = None
    address: str | None = None
    """Network address of a client over HTTP."""


INGEST = Actor("batchyard", "service")
"""The service itself, such as when it stops a batch that does not grow."""
