"""Addresses of RabbitMQ with several hosts: `amqp://user:password@one:5672,two:5672/vhost`."""

import re

_PARTS = re.compile(r"(?P<scheme>amqps?://)(?P<account>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<rest>.*)", re.DOTALL)


def broker_urls(url: str) -> tuple[str, ...]:
    """Return one address for each host, in their order; all else in them is equal.

    Raises `ValueError` for an address that names no host, or an empty one.
    """
    found = _PARTS.fullmatch(url)
    if found is None:
        raise ValueError("The address of RabbitMQ has to begin with amqp:// or amqps://.")
    hosts = [host.strip() for host in found["hosts"].split(",")]
    if not all(hosts):
        raise ValueError(
            "The address of RabbitMQ names an empty host. Write it as amqp://user:password@one:5672,two:5672/."
        )
    return tuple(f"{found['scheme']}{found['account'] or ''}{host}{found['rest']}" for host in hosts)
