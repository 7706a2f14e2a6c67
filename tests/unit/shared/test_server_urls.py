"""Addresses of servers get the files of TLS from the settings, and a password in clear is noticed."""

import pytest

from shared.runtime.server_urls import TlsFiles, hosts_reached_in_clear, with_tls

FILES = TlsFiles("/etc/ca.pem", "/etc/me.pem", "/etc/me key.pem")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("amqps://u:p@h/", "amqps://u:p@h/?cafile=/etc/ca.pem&certfile=/etc/me.pem&keyfile=/etc/me%20key.pem"),
        ("amqps://u:p@one:1,two:2/v?heartbeat=9", "amqps://u:p@one:1,two:2/v?cafile=/etc/ca.pem&certfile=/etc/me.pem&keyfile=/etc/me%20key.pem&heartbeat=9"),
        ("rediss://h/0?ssl_ca_certs=/own.pem", "rediss://h/0?ssl_ca_certs=/own.pem&ssl_certfile=/etc/me.pem&ssl_keyfile=/etc/me%20key.pem"),
        ("postgresql://u@h/d", "postgresql://u@h/d?sslrootcert=/etc/ca.pem&sslcert=/etc/me.pem&sslkey=/etc/me%20key.pem&sslmode=verify-full"),
        ("postgresql://u@h/d?sslmode=disable", "postgresql://u@h/d?sslmode=disable"),
        ("amqp://u:p@h/", "amqp://u:p@h/"),
        ("redis://h/0", "redis://h/0"),
    ],
)  # fmt: skip
def test_addresses_of_tls_get_the_files(url: str, wanted: str) -> None:
    assert with_tls(url, FILES) == wanted
    assert with_tls(url, TlsFiles()) == url


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("amqp://u:p@rabbit:5672/", ["rabbit"]),
        ("amqp://u:p@rabbit:5672,127.0.0.1:5672,10.0.0.1/", ["rabbit", "10.0.0.1"]),
        ("amqp://u:p@[2001:db8::1]:5672/", ["[2001:db8::1]"]),
        ("amqps://u:p@rabbit/", []),
        ("amqp://u:p@localhost/", []),
        ("amqp://u:p@[::1]:5672/", []),
        ("amqp://rabbit/", []),
        ("redis://:p@redis:6379/0", ["redis"]),
        ("rediss://:p@redis:6379/0", []),
        ("redis://redis:6379/0", []),
        ("unix://:p@/run/redis.sock", []),
        ("postgresql://u:p@db/d", ["db"]),
        ("postgresql://u:p@db/d?sslmode=prefer", ["db"]),
        ("postgresql://u:p@db/d?sslmode=require", []),
        ("postgresql://u:p@db/d?sslmode=verify-full", []),
        ("postgresql://u@db/d", []),
        ("postgresql://u:p@/d?host=/run/postgresql", []),
        ("postgresql://u:p@/d?host=db", ["db"]),
    ],
)
def test_a_password_in_clear_is_noticed(url: str, hosts: list[str]) -> None:
    assert hosts_reached_in_clear(url) == hosts
