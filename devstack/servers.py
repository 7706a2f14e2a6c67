"""The addresses of the three servers, as services read them from their environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from devstack.component import COMPONENTS, Name


@dataclass(frozen=True)
class Servers:
    """Addresses of RabbitMQ, PostgreSQL and Redis."""

    amqp_url: str
    database_url: str
    redis_url: str

    @classmethod
    def of(cls, urls: Mapping[Name, str]) -> "Servers":
        """Create it from the addresses by component name."""
        return cls(urls["rabbitmq"], urls["postgres"], urls["redis"])

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a service use these servers."""
        return {COMPONENTS[name].variable: self.url(name) for name in COMPONENTS}

    def url(self, name: Name) -> str:
        """Return the address of one component."""
        return {"rabbitmq": self.amqp_url, "postgres": self.database_url, "redis": self.redis_url}[name]


def without_credentials(url: str) -> str:
    """Return an address without user and password, for output: scheme, hosts, ports and path."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]  # RabbitMQ may have several
    return f"{parts.scheme}://{hosts}{parts.path}"
