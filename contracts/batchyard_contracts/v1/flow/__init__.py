"""Messages between the services, on the exchange `batchyard.flow`."""

from batchyard_contracts.v1.flow.batches import (
    BatchAccepted,
    BatchControlled,
    BatchRemedied,
    BatchResend,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ResultsAccepted,
)
from batchyard_contracts.v1.flow.cache import CacheInvalidated
from batchyard_contracts.v1.flow.deletions import DeletionCompleted, DeletionRequested
from batchyard_contracts.v1.flow.items import ItemsPage, ItemsReopened, ItemsSettled, PageItem, Segment, SettledItem
from batchyard_contracts.v1.flow.notifications import NotificationRequested, NotifierAnnounced
from batchyard_contracts.v1.flow.owners import OwnerWeighted
from batchyard_contracts.v1.flow.reports import ChunkProcessed, ChunkReturned, DestinationFeedback, ItemOutcome
from batchyard_contracts.v1.flow.sources import SourceEnded, SourceExpanded
from batchyard_contracts.v1.flow.summaries import SummaryCompleted
from batchyard_contracts.v1.flow.workers import WorkerAnnounced, WorkerHeartbeat

__all__ = [
    "BatchAccepted",
    "BatchControlled",
    "BatchRemedied",
    "BatchResend",
    "BatchSealed",
    "BatchStopped",
    "BatchWithdrawn",
    "CacheInvalidated",
    "ChunkProcessed",
    "ChunkReturned",
    "DeletionCompleted",
    "DeletionRequested",
    "DestinationFeedback",
    "ItemOutcome",
    "ItemsPage",
    "ItemsReopened",
    "ItemsSettled",
    "NotificationRequested",
    "NotifierAnnounced",
    "OwnerWeighted",
    "PageItem",
    "ResultsAccepted",
    "Segment",
    "SettledItem",
    "SourceEnded",
    "SourceExpanded",
    "SummaryCompleted",
    "WorkerAnnounced",
    "WorkerHeartbeat",
]
