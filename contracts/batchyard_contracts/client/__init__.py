"""Client of Batchyard, which needs the extra `[client]`: it submits, follows and controls batches, and reads results.

    async with Client.connect("amqp://guest:guest@localhost/") as client:
        receipt = await client.submit("http", [{"url": "https://example.com/1"}])
        finished = await client.wait(receipt.batch_id)

It raises these errors:

    ClientError
     +- NotConnected      RabbitMQ cannot be reached
     +- BrokerRefused     RabbitMQ denies access
     +- NoReply           no service replied in time
     +- BatchRefused      a service rejected the command: code, detail, line
     +- InvalidItem       an item cannot be sent: line, detail
     +- UnknownBatch      the owner has no such batch
     +- QueryRefused      a service could not answer the query: code, detail
     +- NotFinished       the batch has not finished within the given time
"""

from batchyard_contracts.client.client import Client
from batchyard_contracts.client.errors import (
    BatchRefused,
    BrokerRefused,
    ClientError,
    InvalidItem,
    NoReply,
    NotConnected,
    NotFinished,
    QueryRefused,
    UnknownBatch,
)
from batchyard_contracts.client.following import Events
from batchyard_contracts.client.packing import ItemLike, Items
from batchyard_contracts.client.subscription import BatchEvent
from batchyard_contracts.v1.values import NewItem, Notifications

__all__ = [
    "BatchEvent",
    "BatchRefused",
    "BrokerRefused",
    "Client",
    "ClientError",
    "Events",
    "InvalidItem",
    "ItemLike",
    "Items",
    "NewItem",
    "NoReply",
    "NotConnected",
    "NotFinished",
    "Notifications",
    "QueryRefused",
    "UnknownBatch",
]
