"""Tells whose the messages of clients are and which ones workers sent, and refuses those that claim to be another's.

The exchange of a message and the property `user_id` are the broker's word: it accepts no other user's name. Type and
owner within the message are its sender's, so that they have to agree with them.
"""

from dataclasses import replace

from batchyard_contracts.message import Message
from batchyard_contracts.topology import INQUIRIES, WORKER_INQUIRIES, Queue
from batchyard_contracts.v1.values import RESERVED_OWNERS
from shared.messaging.delivery import Delivery
from shared.runtime.errors import NotPermitted


class ClientMessages:
    """Checks of what arrives on a queue that clients reach; on others, and of services' questions, nothing is checked.

    `anonymous_owner` owns the messages without a `user_id`; None: these are refused.
    """

    def __init__(self, queue: Queue, anonymous_owner: str | None) -> None:
        self._is_public = queue.is_public
        self._anonymous_owner = anonymous_owner

    def identify(self, delivery: Delivery) -> Delivery:
        """Return a message with its owner, if it has one, or as one of a worker."""
        if delivery.exchange == WORKER_INQUIRIES:
            return replace(delivery, envelope=replace(delivery.envelope, is_from_worker=True))
        if not self._is_checked(delivery):
            return delivery
        owner = delivery.envelope.user_id or self._anonymous_owner
        return replace(delivery, envelope=replace(delivery.envelope, owner=owner))

    def check_sender(self, delivery: Delivery) -> None:
        """Raise `NotPermitted` if nobody owns an identified message of a client, if its owner has a name that no client
        has, or if it has not the type of its routing key.

        The broker has checked the permission for the routing key; the type says how the message is understood.
        """
        is_from_worker = delivery.exchange == WORKER_INQUIRIES
        if delivery.fault is not None or not (is_from_worker or self._is_checked(delivery)):
            return
        if delivery.exchange and not f"{delivery.routing_key}.".startswith(f"{delivery.envelope.type}."):
            raise NotPermitted(
                f"A message of the type {delivery.envelope.type!r} came under the routing key "
                f"{delivery.routing_key!r}. Publish it under its own type."
            )
        if delivery.envelope.owner is None and not is_from_worker:
            raise NotPermitted(
                "The AMQP property `user_id` is missing, so that nobody owns the message. Set it to the user of the "
                "connection, or set BATCHYARD_ANONYMOUS_OWNER on the services if all clients act as one owner."
            )
        if delivery.envelope.owner in RESERVED_OWNERS:
            raise NotPermitted(
                f"The AMQP user {delivery.envelope.owner!r} has a name that is reserved for events without an owner. "
                "Give the user another one."
            )

    def check_owner(self, delivery: Delivery, message: Message) -> None:
        """Raise `NotPermitted` if a client asks for the data of another owner."""
        owner = getattr(message, "owner", None)
        if owner is not None and self._is_checked(delivery) and owner != delivery.envelope.owner:
            raise NotPermitted(
                f"The message is about the owner {owner!r}, but its sender is {delivery.envelope.owner!r}. Ask for "
                "your own data only."
            )

    def _is_checked(self, delivery: Delivery) -> bool:
        return self._is_public and delivery.exchange not in {INQUIRIES, WORKER_INQUIRIES}
