"""Description of the machine that a figure was measured on, so that two figures can be compared or not."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

import aiormq
import asyncpg
import psutil
import redis.asyncio

from devstack import Servers


async def described(servers: Servers) -> dict[str, Any]:
    """The machine and the servers at this moment, without anything that names them."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **await _versions(servers),
        "load_before": round(os.getloadavg()[0], 2),
    }


async def _versions(servers: Servers) -> dict[str, str]:
    broker = await aiormq.connect(servers.amqp_url)
    database = await asyncpg.connect(servers.database_url)
    memory = redis.asyncio.from_url(servers.redis_url)
    try:
        product = broker.server_properties["version"]
        return {
            "rabbitmq": product.decode() if isinstance(product, bytes) else str(product),
            "postgres": str(database.get_settings().server_version).split()[0],
            "redis": (await memory.info("server"))["redis_version"],
        }
    finally:
        await memory.aclose()
        await database.close()
        await broker.close()
