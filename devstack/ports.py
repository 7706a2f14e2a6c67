"""Finds free TCP ports on loopback for servers that keep their port across restarts."""

import contextlib
import secrets
import socket
from pathlib import Path

from devstack.errors import StackError

_LOWEST = 20_000
_USUAL_EPHEMERAL = 32_768
_ATTEMPTS = 200


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports.

    They lie below the range of ephemeral ports: a client that keeps connecting to a stopped server in that range can
    be assigned the server's own port as its source port, and then connects to itself.
    """
    with contextlib.ExitStack() as held:
        return [_claim(held) for _ in range(count)]


def is_free(port: int) -> bool:
    """Tell whether a server can listen on this port now."""
    with contextlib.ExitStack() as held:
        return _bind(held, port)


def _claim(held: contextlib.ExitStack) -> int:
    highest = max(_ephemeral_start(), _LOWEST + 1_000)
    for _ in range(_ATTEMPTS):
        # Not from `random`: who seeds it alike in several processes would have them all try the same ports.
        port = _LOWEST + secrets.randbelow(highest - _LOWEST)
        if _bind(held, port):
            return port
    raise StackError(f"No free port between {_LOWEST} and {highest} was found. Stop some of the servers that run here.")


def _bind(held: contextlib.ExitStack, port: int) -> bool:
    sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _ephemeral_start() -> int:
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    return int(setting.read_text(encoding="ascii").split()[0]) if setting.exists() else _USUAL_EPHEMERAL
