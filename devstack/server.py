"""What a stack asks of each of its servers, whichever way it is had."""

from signal import Signals
from typing import Protocol

from devstack.answers import answers
from devstack.component import Component
from devstack.errors import ServerUnavailable, StackError
from devstack.servers import shown


class Server(Protocol):
    """One of RabbitMQ, PostgreSQL and Redis."""

    async def start(self) -> str:
        """Make sure that it answers, and give its address."""
        ...

    async def stop(self) -> None:
        """End it, if it is ours."""
        ...

    async def kill(self, number: Signals) -> None:
        """Signal it, if it is ours; return when a signal that ends it has done so."""
        ...

    async def fresh_vhost(self, name: str) -> str | None:
        """Create an empty virtual host and give its address; None where that is not possible."""
        ...


class GivenServer:
    """A server that somebody else runs, named by an environment variable: used as it is, never stopped."""

    def __init__(self, component: Component, url: str) -> None:
        self._component = component
        self._url = url

    async def start(self) -> str:
        """Check that it answers."""
        try:
            await answers(self._component.name, self._url)
        except ServerUnavailable as error:
            raise ServerUnavailable(
                f"{self._component.variable} names {shown(self._url)}, which does not answer: {error}. Start that "
                f"server, correct the variable, or unset it so that Batchyard finds a server itself."
            ) from error
        return self._url

    async def stop(self) -> None:
        """Leave it running."""

    async def kill(self, number: Signals) -> None:
        """Refuse: it is not ours."""
        raise StackError(f"{self._component.variable} names a server of somebody else, which gets no {number.name}.")

    async def fresh_vhost(self, name: str) -> str | None:
        """Virtual hosts are created by the tools of the server's own machine, which are out of reach."""
        return None
