"""The addresses of the three servers, as services read them from their environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from devstack.component import COMPONENTS, Name


@dataclass(frozen=True)
class Servers:
    """Where RabbitMQ, PostgreSQL and Redis answer."""

    amqp_url: str
    database_url: str
    redis_url: str

    @classmethod
    def of(cls, urls: Mapping[Name, str]) -> "Servers":
        """Take the three addresses by the name of their component."""
        return cls(urls["rabbitmq"], urls["postgres"], urls["redis"])

    def environment(self) -> dict[str, str]:
        """Give the variables that make a service use these servers."""
        return {COMPONENTS[name].variable: self.url(name) for name in COMPONENTS}

    def url(self, name: Name) -> str:
        """Give the address of one component."""
        return {"rabbitmq": self.amqp_url, "postgres": self.database_url, "redis": self.redis_url}[name]


def shown(url: str) -> str:
    """Give an address that may be printed: host, port and path, without user and password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
