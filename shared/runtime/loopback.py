"""Tells addresses that only this machine reaches."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Tell whether a host is the machine itself, seen from itself: `localhost` or an address of the loopback device."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
