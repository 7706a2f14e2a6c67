"""The three servers that Batchyard needs: their names, environment variables and packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Name = Literal["rabbitmq", "postgres", "redis"]


@dataclass(frozen=True)
class Component:
    """Server with its title, the variable for its address, and its Debian package."""

    name: Name
    title: str
    variable: str
    """The environment variable that may hold its address."""
    package: str
    """Debian package, also named in advice to the user."""
    unit: str
    """System service of the package, which must stay disabled."""


COMPONENTS: Mapping[Name, Component] = MappingProxyType(
    {
        "rabbitmq": Component("rabbitmq", "RabbitMQ", "BATCHYARD_AMQP_URL", "rabbitmq-server", "rabbitmq-server"),
        "postgres": Component("postgres", "PostgreSQL", "BATCHYARD_DATABASE_URL", "postgresql", "postgresql"),
        "redis": Component("redis", "Redis", "BATCHYARD_REDIS_URL", "redis-server", "redis-server"),
    }
)
