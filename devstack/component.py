"""The three servers that Batchyard stands on: their names, variables, programs and packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Name = Literal["rabbitmq", "postgres", "redis"]


@dataclass(frozen=True)
class Component:
    """One server: how a person names it, where its address may be given, what Debian calls it."""

    name: Name
    title: str
    variable: str
    """The environment variable that may hold its address."""
    package: str
    """The Debian package, which is also what a person is told to install."""
    unit: str
    """The system service that the package brings and that must stay off."""


COMPONENTS: Mapping[Name, Component] = MappingProxyType(
    {
        "rabbitmq": Component("rabbitmq", "RabbitMQ", "BATCHYARD_AMQP_URL", "rabbitmq-server", "rabbitmq-server"),
        "postgres": Component("postgres", "PostgreSQL", "BATCHYARD_DATABASE_URL", "postgresql", "postgresql"),
        "redis": Component("redis", "Redis", "BATCHYARD_REDIS_URL", "redis-server", "redis-server"),
    }
)
