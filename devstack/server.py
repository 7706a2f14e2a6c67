"""Interface of a stack to each of its servers, and servers that run elsewhere."""

from pathlib import Path
from signal import Signals
from typing import Protocol

from devstack.component import Component
from devstack.errors import ServerUnavailable, StackError
from devstack.server_check import check_server
from devstack.servers import without_credentials


class Server(Protocol):
    """One of RabbitMQ, PostgreSQL and Redis."""

    async def start(self) -> str:
        """Ensure that it answers, and return its address."""
        ...

    async def stop(self) -> None:
        """Stop it, if the stack started it."""
        ...

    async def kill(self, number: Signals) -> None:
        """Send it a signal; if that ends it, return after its end. Raises StackError for an external server."""
        ...

    async def create_vhost(self, name: str) -> str | None:
        """Create an empty virtual host and return its address; None if that is not possible."""
        ...

    async def purge_vhost(self, name: str) -> bool:
        """Delete the messages of a virtual host that `create_vhost` created; tell whether that was possible."""
        ...

    async def import_definitions(self, file: Path) -> bool:
        """Import definitions of RabbitMQ; tell whether that was possible."""
        ...

    async def drop_vhost(self, name: str) -> None:
        """Delete what `create_vhost` created."""
        ...


class ExternalServer:
    """External server, named by an environment variable: used as it is, never stopped."""

    def __init__(self, component: Component, url: str) -> None:
        self._component = component
        self._url = url

    async def start(self) -> str:
        """Check that it answers."""
        try:
            await check_server(self._component.name, self._url)
        except ServerUnavailable as error:
            raise ServerUnavailable(
                f"{self._component.variable} names {without_credentials(self._url)}, which does not answer: {error}. "
                f"Start that server, correct the variable, or unset it so that Batchyard finds a server itself."
            ) from error
        return self._url

    async def stop(self) -> None:
        """Leave it running."""

    async def kill(self, number: Signals) -> None:
        """Raise StackError: an external server gets no signals."""
        raise StackError(f"{self._component.variable} names an external server, which gets no {number.name}.")

    async def create_vhost(self, name: str) -> str | None:
        """Return None: virtual hosts are created by tools on the server's own machine."""
        return None

    async def purge_vhost(self, name: str) -> bool:
        """Return False: no virtual host was created."""
        return False

    async def import_definitions(self, file: Path) -> bool:
        """Return False: definitions are imported by tools on the server's own machine."""
        return False

    async def drop_vhost(self, name: str) -> None:
        """Do nothing: no virtual host was created."""
