"""Addresses of RabbitMQ with one host and with several."""

import pytest

from batchyard_contracts.broker_urls import broker_urls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://localhost", ["amqp://localhost"]),
        ("amqp://one:5672/", ["amqp://one:5672/"]),
        (
            "amqp://me:p%2Cw@one:1,two:2/v%2Fh?x=a,b",
            ["amqp://me:p%2Cw@one:1/v%2Fh?x=a,b", "amqp://me:p%2Cw@two:2/v%2Fh?x=a,b"],
        ),
        ("amqps://me:a,b@one, two", ["amqps://me:a,b@one", "amqps://me:a,b@two"]),
        ("amqp://[::1]:1,[::2]:2/v", ["amqp://[::1]:1/v", "amqp://[::2]:2/v"]),
        ("amqp://one,two?heartbeat=5", ["amqp://one?heartbeat=5", "amqp://two?heartbeat=5"]),
    ],
)
def test_each_host_gets_an_address_of_its_own(url: str, expected: list[str]) -> None:
    assert list(broker_urls(url)) == expected


@pytest.mark.parametrize(
    "url", ["", "http://one", "amqp://", "amqp://me@", "amqp://one,/", "amqp://,one/v", "one:5672"]
)
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address of RabbitMQ"):
        broker_urls(url)
