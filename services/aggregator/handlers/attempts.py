"""Answers queries for failed attempts."""

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import AttemptsQuery, AttemptsReply, FailedAttempt
from batchyard_contracts.v1.values import ItemError
from services.aggregator.persistence.attempt_store import AttemptStore
from services.aggregator.persistence.store import LedgerStore


class AttemptsQueryHandler:
    """Handler of queries for failed attempts."""

    def __init__(self, store: LedgerStore, attempts: AttemptStore) -> None:
        self._store, self._attempts = store, attempts

    async def on_attempts_query(self, query: AttemptsQuery, _: Envelope) -> AttemptsReply:
        """Return the last failed attempts of an item."""
        key = await self._store.batch_key(query.batch_id, query.owner)
        if key is None:
            return AttemptsReply(found=False)
        return AttemptsReply(
            attempts=[
                FailedAttempt(
                    round=row["round"],
                    attempt=row["attempt"],
                    error=ItemError(code=row["error_code"], message=row["error_message"]),
                    elapsed_ms=row["elapsed_ms"],
                    at=row["at"],
                )
                for row in await self._attempts.of_item(key, query.ordinal)
            ]
        )
