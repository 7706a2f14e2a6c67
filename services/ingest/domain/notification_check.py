"""Tells at submission which notifications could never be sent, so that no batch ends unheard."""

import ipaddress
from urllib.parse import urlsplit

from batchyard_contracts.v1.flow import NotifierAnnounced
from batchyard_contracts.v1.values import NotificationTargets
from services.ingest.domain.rejection import Rejection

NO_EMAILS = Rejection(
    "emails_unavailable",
    "No e-mail can be sent, because the notifier has no BATCHYARD_SMTP_URL. Set it, or leave the addresses out.",
    409,
)
NO_WEBHOOKS = Rejection(
    "webhooks_unavailable",
    "No webhook can be sent, because the notifier has no BATCHYARD_WEBHOOK_SECRET. Set it, or leave the URLs out.",
    409,
)
_LOOPBACK = ipaddress.ip_address("127.0.0.1")
_WEB_PORTS = {80, 443}


def check_targets(targets: NotificationTargets, notifier: NotifierAnnounced) -> Rejection | None:
    """Return why a notification could never be sent; None when all may be."""
    if targets.emails and not notifier.emails:
        return NO_EMAILS
    if targets.webhooks and not notifier.webhooks:
        return NO_WEBHOOKS
    networks = [ipaddress.ip_network(network) for network in notifier.webhook_networks]
    for url in targets.webhooks:
        if reason := _unreachable(url, networks):
            return Rejection("webhook_unreachable", f"The webhook {url[:200]!r} cannot be reached: {reason}")
    return None


def _unreachable(url: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "its host or port is not valid."
    address = _literal(host)
    if address is None:
        if port not in _WEB_PORTS and not networks:
            return "webhooks go to the ports 80 and 443, and to others only in BATCHYARD_WEBHOOK_ALLOWED_NETWORKS."
        return None  # its name is looked up when the webhook is sent
    if any(address.version == network.version and address in network for network in networks):
        return None
    if not address.is_global or address.is_multicast:
        return "its address is not public. Add its network to BATCHYARD_WEBHOOK_ALLOWED_NETWORKS of the notifier."
    return None if port in _WEB_PORTS else "webhooks to public addresses go to the ports 80 and 443."


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is; None when it is a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
