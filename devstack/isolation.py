"""Empty corners of servers that are shared: a database of its own, a numbered Redis database of its own."""

import re

import asyncpg
import redis.asyncio

from devstack.errors import StackError
from devstack.redis import DATABASES
from devstack.state import State

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def check_name(name: str) -> None:
    """Raise StackError unless the name can stand in addresses and statements as it is."""
    if not _NAME.fullmatch(name):
        raise StackError(f"{name!r} cannot name an isolated corner. Use up to 31 of a-z, 0-9 and _, a letter first.")


async def fresh_database(url: str, name: str) -> str | None:
    """Create an empty database beside the given one, in place of an older one; None if the account may not."""
    base, _, given = url.partition("?")[0].rpartition("/")
    database = f"{given}_{name}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'drop database if exists "{database}" with (force)')
        await connection.execute(f'create database "{database}"')
    except asyncpg.InsufficientPrivilegeError:
        return None
    finally:
        await connection.close()
    return f"{base}/{database}"


async def fresh_redis(url: str, name: str, state: State) -> str:
    """Give an empty numbered database to this name, always the same one."""
    with state.change() as document:
        taken = document.redis_numbers
        free = (number for number in range(1, DATABASES) if number not in taken.values())
        number = taken.get(name) or next(free, None)
        if number is None:
            raise StackError(
                f"All {DATABASES - 1} isolated Redis databases are taken. Delete {state.home} while stopped."
            )
        taken[name] = number
    fresh = f"{url.rpartition('/')[0]}/{number}"
    client = redis.asyncio.from_url(fresh)
    try:
        await client.flushdb()
    finally:
        await client.aclose()
    return fresh
