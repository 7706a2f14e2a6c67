"""Redis client whose every operation has a deadline and a fallback: Redis may be unavailable or lose its data."""

import time
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

T = TypeVar("T")
log = structlog.get_logger()
DEADLINE_S = 0.2
"""Deadline of each operation, in seconds."""
_PAUSE_S = 2.0


class RedisClient:
    """Redis client behind a circuit breaker: for 2 seconds after a failure, callers get their fallback at once. A call
    that Redis refuses, for example because its memory is full, says nothing about others."""

    def __init__(self, url: str, deadline_s: float = DEADLINE_S) -> None:
        self.client: Redis = Redis.from_url(
            url, socket_timeout=deadline_s, socket_connect_timeout=deadline_s, retry=Retry(NoBackoff(), 0)
        )
        self._unavailable_until = 0.0
        self._refusal_logged_at = -_PAUSE_S

    @property
    def is_unavailable(self) -> bool:
        """True while the circuit is open: Redis failed less than 2 seconds ago."""
        return time.monotonic() < self._unavailable_until

    async def attempt(self, operation: Awaitable[T], fallback: T) -> T:
        """Return the operation's value, or `fallback` if Redis fails, refuses it, misses the deadline or is
        unavailable."""
        if self.is_unavailable:
            _discard(operation)
            return fallback
        try:
            return await operation
        except ResponseError as error:
            if time.monotonic() >= self._refusal_logged_at + _PAUSE_S:
                self._refusal_logged_at = time.monotonic()
                log.error("Redis has refused a call", error=f"{type(error).__name__}: {error}"[:300])
            return fallback
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("continuing without Redis", error=f"{type(error).__name__}: {error}", pause_s=_PAUSE_S)
            self._unavailable_until = time.monotonic() + _PAUSE_S
            return fallback

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()


def _discard(operation: Awaitable[object]) -> None:
    close = getattr(operation, "close", None)  # a coroutine that is never awaited would warn
    if close is not None:
        close()
