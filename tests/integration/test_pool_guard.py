"""The rule that a task holds one connection of a pool, which all tests on real servers check."""

import asyncpg

from devstack import Servers
from tests.support.pool_guard import PoolGuard


async def test_a_second_connection_of_a_task_is_noticed(
    servers: Servers, one_connection_for_each_task: PoolGuard
) -> None:
    one_connection_for_each_task.watched = ("tests",)
    async with asyncpg.create_pool(servers.database_url, min_size=1, max_size=2) as pool:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        assert one_connection_for_each_task.violations == []
        async with pool.acquire():
            await pool.fetchval("SELECT 1")

    (violation,) = one_connection_for_each_task.violations
    assert __name__.rpartition(".")[2] in violation
    one_connection_for_each_task.violations.clear()
