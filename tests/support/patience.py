"""The longest time that a test waits for a condition, as a guard against hanging."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

AnswerT = TypeVar("AnswerT")
PATIENCE_S = 120.0
"""Only a hang lasts as long, on a machine as busy as it may be."""

TEST_LIMIT_S = 300.0
"""The longest time of one test, after which it is ended where it waits; longer than any two conditions in turn."""


async def until(
    ask: Callable[[], Awaitable[AnswerT]], fits: Callable[[AnswerT], object] = bool, pause_s: float = 0.02
) -> AnswerT:
    """Ask until the answer fits, where nothing signals a change; return the answer."""
    async with asyncio.timeout(PATIENCE_S):
        while not fits(answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(pause_s)
    return answer


async def until_true(condition: Callable[[], AnswerT], pause_s: float = 0.02) -> AnswerT:
    """Wait for a condition of files, processes or objects that signal nothing; return its value."""

    async def ask() -> AnswerT:
        return condition()

    return await until(ask, pause_s=pause_s)
