"""Which errors pass by themselves (a server is away, a lock was lost), and how to hold on until they have."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aio_pika.exceptions
import asyncpg
import structlog

from shared.runtime.errors import PublishFailed

T = TypeVar("T")
log = structlog.get_logger()

_PASSING = (
    OSError,  # refused, reset, time-out
    TimeoutError,
    PublishFailed,
    aio_pika.exceptions.AMQPError,
    aio_pika.exceptions.ChannelInvalidStateError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.InternalServerError,
    asyncpg.PostgresSystemError,  # a disk that fails
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.OperatorInterventionError,  # shut down, starting up
    asyncpg.TransactionRollbackError,  # serialization failure, deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # during a failover the old server takes no writes any more
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password or role that is being changed, a wrong one among them
    asyncpg.InvalidCatalogNameError,  # a database that is being restored
)
_CLOSED = re.compile(r"clos(ed|ing)|in progress|cancelling")
"""What asyncpg says of a pool or connection that is gone or was interrupted. Its other `InterfaceError`s are defects
of the caller, such as a wrong number of arguments."""
_CAP_S = 5.0


def is_transient(error: BaseException) -> bool:
    """Whether trying again later can help. A value that PostgreSQL cannot take (`DataError`) never passes."""
    if isinstance(error, asyncpg.DataError | ValueError):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return bool(_CLOSED.search(str(error)))
    return isinstance(error, _PASSING)


async def retry_transient(
    operation: Callable[[], Awaitable[T]], what: str, waiting: Callable[[], None] = lambda: None
) -> T:
    """Run an idempotent operation again, with growing pauses, for as long as its errors are passing ones.

    `waiting` is called before each pause: a service that waits for a server is alive.
    """
    attempt = 0
    while True:
        try:
            return await operation()
        except Exception as error:
            if not is_transient(error):
                raise
            attempt += 1
            pause = min(_CAP_S, 0.05 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)
            log.warning(
                "waiting for a server", what=what, attempt=attempt, pause_s=round(pause, 2), error=_brief(error)
            )
            waiting()
            await asyncio.sleep(pause)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
