"""The loop-lag meter counts the time for which the event loop was blocked."""

import asyncio
import time

from services.worker.limits.loop_lag import LoopLag


async def test_the_lag_of_a_blocked_loop_is_as_long_as_the_block() -> None:
    loop_lag = LoopLag()
    began = asyncio.get_running_loop().time()
    loop_lag.watch()
    await asyncio.sleep(0.02)
    before = loop_lag.lag_within(asyncio.get_running_loop().time() - began)
    time.sleep(0.2)  # noqa: ASYNC251  the loop is to be held up
    await asyncio.sleep(0.02)
    passed = asyncio.get_running_loop().time() - began
    assert 0.17 <= loop_lag.lag_within(passed) - before <= passed
    assert loop_lag.lag_within(0.0) == 0.0
