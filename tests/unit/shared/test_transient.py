"""Transient errors and defects."""

import aio_pika.exceptions
import asyncpg
import pytest

from shared.runtime.errors import MessageRejected, PublishFailed
from shared.runtime.transient import is_transient, retry_transient


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidAuthorizationSpecificationError("role does not exist"),
        asyncpg.PostgresIOError("could not read block"),
        asyncpg.InternalServerError("cache lookup failed"),
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),
        asyncpg.InvalidCatalogNameError("database does not exist"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.InvalidCachedStatementError("cached plan must not change result type"),
        asyncpg.UndefinedColumnError("column does not exist"),
        asyncpg.UndefinedTableError("relation does not exist"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InterfaceError("cannot call Connection.execute(): connection has been released back to the pool"),
        ConnectionResetError("peer"),
        TimeoutError(),
        PublishFailed(),
        aio_pika.exceptions.ChannelInvalidStateError("closed"),
    ],
)
def test_errors_of_a_failover_or_restart_are_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
        asyncpg.DataError("invalid input for query argument $1"),
        asyncpg.UniqueViolationError("duplicate key"),
        MessageRejected(),
        KeyError("x"),
    ],
)
def test_a_defect_is_not_transient(error: Exception) -> None:
    assert not is_transient(error)


async def test_a_defect_is_not_retried() -> None:
    tries = 0

    async def wrong() -> None:
        nonlocal tries
        tries += 1
        raise asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed")

    with pytest.raises(asyncpg.InterfaceError):
        await retry_transient(wrong, "PostgreSQL")
    assert tries == 1
