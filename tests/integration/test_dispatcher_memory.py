"""A dispatcher that starts with a batch of a million partitions dispatches and cancels it from a bounded memory."""

import re
import sys
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from batchyard_contracts.v1.flow import BatchControlled
from devstack import Program, Servers, Supervisor, free_ports
from services.dispatcher.settings import DispatcherSettings
from shared.postgres.migrations import migrate
from tests.support.hand_worker import hand_worker

pytestmark = pytest.mark.long
PARTITIONS = 1_000_000
MAX_MB = 256
_CHUNKS = 2000
_BATCH = "INSERT INTO dispatcher.batches (batch_id, owner, workload, priority) VALUES ($1, 'default', $2, 'normal')"
_PAGES = """
INSERT INTO dispatcher.pages (batch_id, page, segment, partition, size, items)
SELECT $1, n / 1000, n % 1000, 'host' || n || '.example.test', 1,
    convert_to('{"ordinal":' || n || ',"payload":{}}', 'utf8')
FROM generate_series(0, $2 - 1) AS n
"""


async def test_a_million_partitions_need_a_bounded_memory_and_delay_no_cancel(
    clean: Servers, record_property: Callable[[str, object], None]
) -> None:
    await migrate(DispatcherSettings(database_url=clean.database_url), "dispatcher", "services.dispatcher.persistence")
    async with hand_worker(
        clean.amqp_url, concurrency=50, chunk_max=1, partition={"pointer": "/host"}, partition_concurrency=2
    ) as worker:
        batch_id = uuid.uuid4()
        connection = await asyncpg.connect(clean.database_url)
        try:
            await connection.execute(_BATCH, batch_id, worker.manifest.name)
            await connection.execute(_PAGES, batch_id, PARTITIONS)
        finally:
            await connection.close()
        with tempfile.TemporaryDirectory() as folder:
            supervisor = Supervisor(Path(folder), print)
            (port,) = free_ports(1)
            environment = {**clean.environment(), "BATCHYARD_HEALTH_PORT": str(port)}
            command = (sys.executable, "-m", "services.dispatcher")
            try:
                await supervisor.start(Program("dispatcher", command, environment, f"http://127.0.0.1:{port}/readyz"))
                seen: set[int] = set()
                while len(seen) < _CHUNKS:
                    chunk = await worker.take()
                    seen.update(item.ordinal for item in chunk.items)
                    await worker.report(chunk)
                dispatched_mb = _peak_mb(supervisor.pid("dispatcher"))
                cancel = {"batch_id": batch_id, "owner": "default", "action": "cancel", "at": datetime.now(UTC)}
                await worker.tell(BatchControlled.model_validate(cancel))
                settled = await worker.wait_settled(5000)
                cancelled_mb = _peak_mb(supervisor.pid("dispatcher"))
            finally:
                await supervisor.stop()
    assert len(worker.taken) == len({chunk.items[0].ordinal for _, chunk in worker.taken}), "nothing came twice"
    assert {one.status for one in settled} == {"cancelled"}
    record_property("peak_mb", [dispatched_mb, cancelled_mb])
    assert max(dispatched_mb, cancelled_mb) < MAX_MB


def _peak_mb(pid: int | None) -> float:
    """Return the largest resident memory of a process so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found
    return int(found[1]) / 1024
