"""Tells transient errors (a server is unavailable, a lock was lost) from permanent ones, and retries transient ones."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aio_pika.exceptions
import asyncpg
import structlog
from aiormq.exceptions import ChannelAccessRefused

from shared.runtime.errors import PublishFailed

T = TypeVar("T")
log = structlog.get_logger()

_TRANSIENT = (
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
    asyncpg.ReadOnlySQLTransactionError,  # during a failover the old server accepts no writes
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password or role that is being changed; also a wrong one
    asyncpg.InvalidCatalogNameError,  # a database that is being restored
    asyncpg.InvalidCachedStatementError,  # a table has got other columns since the statement was prepared
)
_OTHER_SCHEMA = (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
"""Errors of a service whose tables another version has changed. They pass when the service is replaced; until then its
messages are kept. A test prepares every statement, so that they never mean a defect."""
_CLOSED = re.compile(r"clos(ed|ing)|in progress|cancelling|released back to the pool")
"""Matches asyncpg's messages about a closed or interrupted pool or connection; the pool takes back a connection that is
lost between two statements. Its other `InterfaceError`s are defects of the caller, such as a wrong number of
arguments."""
_CAP_S = 5.0
_ADVICE = (
    "give the account this right, which is tried again: `batchyard rights` writes the rights of every service, see "
    "docs/access.md"
)


def is_transient(error: BaseException) -> bool:
    """Tell whether a later attempt can succeed. A value that PostgreSQL cannot store (`DataError`) is permanent."""
    if isinstance(error, asyncpg.DataError | ValueError):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return bool(_CLOSED.search(str(error)))
    return isinstance(error, _TRANSIENT + _OTHER_SCHEMA)


def advice_on(error: BaseException) -> str | None:
    """Return what to do about an error, or about its cause, if an account of RabbitMQ lacks a right; else None.

    The error itself names the account, the right and the queue or exchange. Rights may come a moment later, as in an
    upgrade, so that such an error is transient.
    """
    lacks_right = any(isinstance(one, ChannelAccessRefused) for one in (error, error.__cause__))
    return _ADVICE if lacks_right else None


async def retry_transient(
    operation: Callable[[], Awaitable[T]], resource: str, on_wait: Callable[[], None] = lambda: None
) -> T:
    """Run an idempotent operation until it succeeds, with growing pauses, as long as its errors are transient.

    `resource` names in the log what the operation waits for. `on_wait` is called before each pause of at most 5
    seconds, so that a service that waits for a server can beat its pulse. Raises every other error at once.
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
            if isinstance(error, _OTHER_SCHEMA):
                log.error(
                    "the tables are not those of this version: is another one running?",
                    resource=resource,
                    attempt=attempt,
                    error=_brief(error),
                )
            elif advice := advice_on(error):
                log.error(
                    "the account lacks a right", resource=resource, attempt=attempt, error=_brief(error), advice=advice
                )
            else:
                log.warning(
                    "waiting for a server",
                    resource=resource,
                    attempt=attempt,
                    pause_s=round(pause, 2),
                    error=_brief(error),
                )
            on_wait()
            await asyncio.sleep(pause)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
