"""The dispatcher's stores on one connection pool."""

from dataclasses import dataclass

from services.dispatcher.persistence.batch_store import BatchStore
from services.dispatcher.persistence.lease_store import LeaseStore
from services.dispatcher.persistence.owner_store import OwnerStore
from services.dispatcher.persistence.page_store import PageStore
from services.dispatcher.persistence.retry_store import RetryStore
from shared.postgres.pool import Pool


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of the dispatcher's tables; `RateStore` has those of rates."""

    batches: BatchStore
    pages: PageStore
    leases: LeaseStore
    retries: RetryStore
    owners: OwnerStore

    @classmethod
    def on(cls, pool: Pool) -> "Stores":
        """Return the stores on a pool."""
        return cls(BatchStore(pool), PageStore(pool), LeaseStore(pool), RetryStore(pool), OwnerStore(pool))
