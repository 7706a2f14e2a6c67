"""Redis as a memory that may vanish: every use has a deadline and a way to go on without."""

import time
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

T = TypeVar("T")
log = structlog.get_logger()
DEADLINE_S = 0.2
_PAUSE_S = 2.0


class RedisClient:
    """A Redis client behind a breaker: after a failure it is left alone for a moment, and callers get the fallback."""

    def __init__(self, url: str) -> None:
        self.client: Redis = Redis.from_url(
            url, socket_timeout=DEADLINE_S, socket_connect_timeout=DEADLINE_S, retry=Retry(NoBackoff(), 0)
        )
        self._away_until = 0.0

    @property
    def away(self) -> bool:
        """Whether Redis failed a moment ago and is not asked now."""
        return time.monotonic() < self._away_until

    async def attempt(self, operation: Awaitable[T], fallback: T) -> T:
        """The operation's value, or the fallback when Redis does not answer in time."""
        if self.away:
            _discard(operation)
            return fallback
        try:
            return await operation
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("going on without Redis", error=f"{type(error).__name__}: {error}", pause_s=_PAUSE_S)
            self._away_until = time.monotonic() + _PAUSE_S
            return fallback

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()


def _discard(operation: Awaitable[object]) -> None:
    close = getattr(operation, "close", None)  # a coroutine that is never awaited would warn
    if close is not None:
        close()
