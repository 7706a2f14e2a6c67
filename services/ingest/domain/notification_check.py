"""Tells at submission which notifications could never be sent, so that no batch ends unheard."""

import ipaddress

from batchyard_contracts.egress import why_unreachable
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
_SETTING = "BATCHYARD_WEBHOOK_ALLOWED_NETWORKS of the notifier"


def check_targets(targets: NotificationTargets, notifier: NotifierAnnounced) -> Rejection | None:
    """Return why a notification could never be sent; None when all may be."""
    if targets.emails and not notifier.emails:
        return NO_EMAILS
    if targets.webhooks and not notifier.webhooks:
        return NO_WEBHOOKS
    networks = [ipaddress.ip_network(network) for network in notifier.webhook_networks]
    for url in targets.webhooks:
        if reason := why_unreachable(url, networks, _SETTING):
            return Rejection("webhook_unreachable", f"The webhook {url[:200]!r} cannot be reached: {reason}")
    return None
