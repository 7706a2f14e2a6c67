"""Runs the handlers of a queue's messages, and decides how often one is tried.

While a server is unavailable, or the tables are being changed, a handler is repeated and keeps its message. Any other
error is a defect and is tried `MAX_ATTEMPTS` times; the caller then makes the message a dead letter. When that happens
to `MAX_FAILURES_IN_A_ROW` messages that services send, the service is at fault rather than the messages: the next one
is held and repeated until it succeeds, and the service is not ready meanwhile. No message of a client or a worker is
held, since it may be anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from batchyard_contracts.topology import Queue
from shared.observability import metrics
from shared.runtime.background import UNREADY_AFTER_S
from shared.runtime.errors import MessageRejected
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
T = TypeVar("T")
MAX_ATTEMPTS = 3
MAX_FAILURES_IN_A_ROW = 5
HOLD_PAUSE_S = 5.0
"""Pause in seconds before a held message is tried again."""
_FIRST_PAUSE_S = 0.1
_failures = metrics.counter("batchyard.messages.failed", "Messages whose handler failed by a defect, by queue.")


class HandlerRunner:
    """Runner of the handlers of one queue. Handlers must be idempotent. `on_wait` is called before each pause."""

    def __init__(self, queue: Queue, on_wait: Callable[[], None] = lambda: None) -> None:
        self._queue = queue
        self._on_wait = on_wait
        self._failures_in_a_row = 0
        self._waiting: dict[object, float] = {}
        """Times since which handlers wait for a server, by call."""
        self._held: set[object] = set()

    @property
    def is_working(self) -> bool:
        """False while a message is held, or has waited for a server for `UNREADY_AFTER_S` seconds."""
        now = time.monotonic()
        return not self._held and all(now - since < UNREADY_AFTER_S for since in self._waiting.values())

    async def run(self, operation: Callable[[], Awaitable[T]], message_type: str) -> T:
        """Return the result of a handler of a message.

        Raises `MessageRejected` at once, and the error of a defect when the message has to become a dead letter.
        """
        call = object()
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    return await self.run_once(operation)
                except MessageRejected:
                    raise
                except Exception as error:
                    pause_s = self._pause_after(error, attempt, call, message_type)
                    if pause_s is None:
                        raise
                    self._on_wait()
                    await asyncio.sleep(pause_s)
        finally:
            self._held.discard(call)

    async def run_once(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return the result of a handler, which is repeated only for transient errors. Raises any other error."""
        call = object()

        def wait() -> None:
            self._waiting.setdefault(call, time.monotonic())
            self._on_wait()

        try:
            result = await retry_transient(operation, self._queue.name, wait)
        finally:
            self._waiting.pop(call, None)
        self._failures_in_a_row = 0
        return result

    def _pause_after(self, error: Exception, attempt: int, call: object, message_type: str) -> float | None:
        """Return the pause in seconds before the next attempt; None: there is none."""
        written = {"queue": self._queue.name, "attempt": attempt, "error": f"{type(error).__name__}: {error}"[:300]}
        from_outside = self._queue.is_from_outside(message_type)
        if attempt < MAX_ATTEMPTS:
            log.warning("retrying the handler", **written)
            return _FIRST_PAUSE_S * attempt
        if not from_outside and self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            self._held.add(call)
            log.error("message held: too many before it failed in a row", **written, exc_info=error)
            return HOLD_PAUSE_S
        if not from_outside:
            self._failures_in_a_row += 1
        _failures.add(1, {"queue": self._queue.name})
        return None
