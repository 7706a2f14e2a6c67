"""A client of Batchyard: submit, wait, subscribe, steer, read results. Needs the extra `[client]`.

    async with Client.connect("amqp://guest:guest@localhost/") as client:
        receipt = await client.submit("tracklists", [{"url": "https://example.com/1"}])
        finished = await client.wait(receipt.batch_id)

What it raises:

    ClientError
     +- NotConnected      the broker was not reached
     +- BrokerRefused     the broker was reached and does not allow it
     +- NoAnswer          no service answered in time
     +- BatchRefused      a service refused the command: code, detail, line
     +- BadItem           an item cannot be sent as it is: line, detail
     +- UnknownBatch      the owner has no such batch
     +- QuestionRefused   a service could not answer the question: code, detail
     +- NotFinished       the batch had not ended within the time that was given
"""

from batchyard_contracts.client.client import Client
from batchyard_contracts.client.errors import (
    BadItem,
    BatchRefused,
    BrokerRefused,
    ClientError,
    NoAnswer,
    NotConnected,
    NotFinished,
    QuestionRefused,
    UnknownBatch,
)
from batchyard_contracts.client.following import Events
from batchyard_contracts.client.packing import ItemLike, Items
from batchyard_contracts.client.subscription import BatchEvent
from batchyard_contracts.v1.values import NewItem, Notify

__all__ = [
    "BadItem",
    "BatchEvent",
    "BatchRefused",
    "BrokerRefused",
    "Client",
    "ClientError",
    "Events",
    "ItemLike",
    "Items",
    "NewItem",
    "NoAnswer",
    "NotConnected",
    "NotFinished",
    "Notify",
    "QuestionRefused",
    "UnknownBatch",
]
