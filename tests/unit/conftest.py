"""Event loop of the tests that need no servers."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the event loop of the services, whose resources it reports when they stay open."""
    return {"uvloop": uvloop.new_event_loop}
