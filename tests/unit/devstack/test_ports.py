"""Ports are free, different, and outside the range of outgoing connections."""

import socket

from devstack.ports import free_ports, is_free


def test_ports_are_free_different_and_low() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port < 61_000 and is_free(port) for port in ports)


def test_a_port_that_a_server_holds_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
