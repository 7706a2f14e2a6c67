"""The active of two dispatchers is frozen under a running batch: the other takes over, and the first wakes harmless."""

import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import pytest_asyncio

from devstack import Program, Servers, free_ports
from tests.support.cluster import LEASE_KEYS, Cluster, running_cluster
from tests.support.interrupted_batch import ends_once, in_the_middle
from tests.support.patience import until_true

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]

SETTINGS = {"BATCHYARD_LEASE_S": "15", "BATCHYARD_LEASE_KEYS": LEASE_KEYS}
RECORD_WRITES = """
CREATE TABLE public.writes (epoch bigint, at timestamptz NOT NULL);
CREATE FUNCTION public.record_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.writes VALUES (nullif(current_setting('batchyard.tenure', true), '')::bigint, clock_timestamp());
    RETURN NULL;
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'dispatcher' AND tablename NOT IN ('migrations', 'tenure')
    LOOP
        EXECUTE format('CREATE TRIGGER record_write AFTER INSERT OR UPDATE OR DELETE ON dispatcher.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.record_write()', name);
    END LOOP;
END $$;
"""
WRITES = "SELECT epoch, min(at) AS first, max(at) AS last FROM public.writes GROUP BY epoch ORDER BY epoch"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services with a second dispatcher, in a database that records each committed write of a dispatcher."""
    async with running_cluster(servers, {**SETTINGS, "BATCHYARD_HEARTBEAT_S": "2"}) as running:
        (port,) = free_ports(1)
        settings = {**SETTINGS, "BATCHYARD_HEALTH_PORT": str(port)}
        command = (sys.executable, "-m", "services.dispatcher")
        account = running.accounts.get("dispatcher") or servers.environment()
        second = Program("dispatcher-2", command, {**account, **settings}, f"http://127.0.0.1:{port}/readyz")
        await running.supervisor.start(second)
        connection = await asyncpg.connect(servers.database_url)
        await connection.execute(RECORD_WRITES)
        await connection.close()
        yield running


async def test_a_frozen_dispatcher_is_replaced_and_does_nothing_when_it_wakes(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    active, other = sorted(("dispatcher", "dispatcher-2"), key=lambda name: _epochs(cluster, name), reverse=True)
    batch_id = await in_the_middle(cluster)
    pids = [cluster.supervisor.pid(name) for name in (active, other)]
    before = max(_epochs(cluster, active))
    cluster.supervisor.kill(active, signal.SIGSTOP)
    frozen_at = time.monotonic()
    try:
        await until_true(lambda: _epochs(cluster, other))
        record_property("takeover_s", round(time.monotonic() - frozen_at, 2))
        await ends_once(cluster, batch_id)
        record_property("end_s", round(time.monotonic() - frozen_at, 2))
    finally:
        cluster.supervisor.kill(active, signal.SIGCONT)
    await until_true(lambda: "lease lost" in cluster.supervisor.log(active).read_text("utf-8"))
    await ends_once(cluster, await in_the_middle(cluster))
    assert [cluster.supervisor.pid(name) for name in (active, other)] == pids, "no process had to be restarted"
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        old, new = await connection.fetch(WRITES)
    finally:
        await connection.close()
    assert (old["epoch"], new["epoch"]) == (before, max(_epochs(cluster, other)))
    assert old["last"] < new["first"], "what the frozen one still had in hand was refused"


def _epochs(cluster: Cluster, name: str) -> list[int]:
    """Return the numbers of the epochs in which a dispatcher was active."""
    return [int(number) for number in re.findall(r'"epoch": ?(\d+)', cluster.supervisor.log(name).read_text("utf-8"))]
