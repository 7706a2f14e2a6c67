"""Isolated parts of shared servers: a database and a numbered Redis database for each name."""

import re

import asyncpg
import redis.asyncio

from devstack.errors import StackError
from devstack.redis import DATABASES
from devstack.state import StackState

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def check_isolated_name(name: str) -> None:
    """Raise StackError unless the name needs no quoting in addresses and SQL statements."""
    if not _NAME.fullmatch(name):
        raise StackError(f"{name!r} is no name for isolated databases. Use up to 31 of a-z, 0-9 and _, a letter first.")


async def create_database(url: str, name: str) -> str | None:
    """Create an empty database, replacing an older one, and return its address; None without the privilege."""
    base, _, original = url.partition("?")[0].rpartition("/")
    database = f"{original}_{name}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'drop database if exists "{database}" with (force)')
        await connection.execute(f'create database "{database}"')
    except asyncpg.InsufficientPrivilegeError:
        return None
    finally:
        await connection.close()
    return f"{base}/{database}"


async def drop_database(url: str, name: str) -> None:
    """Delete the database that `create_database` has created under this name, if it exists."""
    database = f"{url.partition('?')[0].rpartition('/')[2]}_{name}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'drop database if exists "{database}" with (force)')
    except asyncpg.InsufficientPrivilegeError:
        return
    finally:
        await connection.close()


async def create_redis_database(url: str, name: str, state: StackState) -> str:
    """Return the address of an empty numbered database; a name always gets the same number."""
    with state.change() as document:
        taken = document.redis_numbers
        free = (number for number in range(1, DATABASES) if number not in taken.values())
        number = taken.get(name) or next(free, None)
        if number is None:
            raise StackError(
                f"All {DATABASES - 1} isolated Redis databases are taken. Delete {state.home} while stopped."
            )
        taken[name] = number
    return await _flushed(url, number)


async def release_redis_database(url: str, name: str, state: StackState) -> None:
    """Empty the numbered database of this name, and release its number."""
    number = state.read().redis_numbers.get(name)
    if number is None:
        return
    await _flushed(url, number)
    with state.change() as document:
        document.redis_numbers.pop(name, None)


async def _flushed(url: str, number: int) -> str:
    fresh = f"{url.rpartition('/')[0]}/{number}"
    client = redis.asyncio.from_url(fresh)
    try:
        await client.flushdb()
    finally:
        await client.aclose()
    return fresh
