"""Messages to and from the notifier."""

from typing import ClassVar

from batchyard_contracts.message import Message
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.values import Networks, NotificationTargets, Time


class NotificationRequested(Message):
    """Request to tell the receivers of a batch that a round of it has ended. Batches without receivers have none."""

    type: ClassVar[str] = "notification.requested.v1"
    event: BatchFinished
    notify: NotificationTargets | None = None
    """Receivers; None: those that the notifier has recorded for a batch that an earlier version accepted."""


class NotifierAnnounced(Message):
    """Message sent when a notifier starts: the notifications that its settings allow it to send."""

    type: ClassVar[str] = "notifier.announced.v1"
    emails: bool
    """False: no SMTP server is set, so that no e-mail can be sent."""
    webhooks: bool
    """False: no key for signatures is set, so that no webhook can be sent."""
    webhook_networks: Networks = []
    """Private networks that webhooks may reach."""
    started_at: Time
