"""Inserts messages into the outbox within the transaction of the change that they tell of."""

from collections.abc import Sequence

from shared.postgres.outbox import OutboxMessage, columns, with_ids
from shared.postgres.pool import PooledConnection
from shared.postgres.queries import load_queries

_INSERT = load_queries("services.ingest.persistence")["insert_messages"]


async def insert_messages(connection: PooledConnection, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
    """Insert messages, and return them as they stand in the outbox, in their order."""
    if not messages:
        return []
    rows = await connection.fetch(_INSERT, *columns(messages))
    return with_ids(messages, sorted(row["id"] for row in rows))
