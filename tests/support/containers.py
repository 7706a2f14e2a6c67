"""Servers in throw-away containers, for machines that have a Docker engine and no server programs."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from testcontainers.core.container import DockerContainer

from devstack import Name
from devstack.server_check import wait_for_server
from tests.support.deployment import compose_file

_READY_WITHIN = 120.0


@dataclass(frozen=True)
class Recipe:
    """Port inside the container, its variables, and the address with a placeholder for the published port."""

    port: int
    env: Mapping[str, str]
    address: str


RECIPES: Mapping[Name, Recipe] = MappingProxyType(
    {
        "rabbitmq": Recipe(5672, {}, "amqp://guest:guest@127.0.0.1:{port}/"),
        "postgres": Recipe(
            5432,
            {"POSTGRES_USER": "batchyard", "POSTGRES_HOST_AUTH_METHOD": "trust"},
            "postgresql://batchyard@127.0.0.1:{port}/batchyard",
        ),
        "redis": Recipe(6379, {}, "redis://127.0.0.1:{port}/0"),
    }
)


def start_containers(names: Iterable[Name], stack: contextlib.ExitStack) -> dict[Name, str]:
    """Start the images that the compose file names; return their addresses once they answer."""
    urls = {name: stack.enter_context(_container(name)) for name in names}
    asyncio.run(_until_ready(urls))
    return urls


@contextlib.contextmanager
def _container(name: Name) -> Iterator[str]:
    recipe = RECIPES[name]
    container = DockerContainer(compose_file()["services"][name]["image"]).with_exposed_ports(recipe.port)
    container.with_envs(**recipe.env)
    with container:
        yield recipe.address.format(port=container.get_exposed_port(recipe.port))


async def _until_ready(urls: Mapping[Name, str]) -> None:
    async with asyncio.TaskGroup() as group:
        for name, url in urls.items():
            group.create_task(wait_for_server(name, url, _READY_WITHIN, lambda: True))
