"""The five services as real processes on the servers of a test run, with a client, a webhook receiver and a mailbox."""

import asyncio
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg

from batchyard_contracts.client import Client
from batchyard_contracts.v1.events import BatchFinished
from devstack import Servers, Supervisor, free_ports
from services.cli.local_cluster import Plan, programs
from tests.support.mailbox import Mailbox
from tests.support.patience import PATIENCE_S
from tests.support.webhook_receiver import WebhookReceiver

SECRET = "whsec_" + b64encode(b"a secret of the tests, 32 bytes.").decode()


@dataclass(frozen=True, slots=True)
class Cluster:
    """The parts of a running cluster that a test may use and break."""

    servers: Servers
    supervisor: Supervisor
    client: Client
    http: aiohttp.ClientSession
    """Relative to `/api/v1/`."""
    webhooks: WebhookReceiver
    mailbox: Mailbox
    folder: Path

    async def check_ledger(self, batch_id: UUID, total: int) -> None:
        """Every item has exactly one terminal outcome, the counts add up, each round had exactly one end."""
        connection = await asyncpg.connect(self.servers.database_url)
        try:
            rows = await connection.fetch(
                "SELECT ordinal, outcomes.status FROM aggregator.outcomes JOIN aggregator.batches ON batch = id "
                "WHERE batch_id = $1 ORDER BY ordinal",
                batch_id,
            )
        finally:
            await connection.close()
        assert [row["ordinal"] for row in rows] == list(range(total))
        state = await self.client.batch(batch_id)
        assert state.status == "finished"
        counts = state.counts
        assert (counts.total, counts.ended, counts.remaining) == (total, total, 0)
        for status in ("succeeded", "failed", "cancelled", "expired", "duplicate"):
            assert getattr(counts, status) == sum(row["status"] == status for row in rows), status

    def finished_calls(self, batch_id: UUID) -> list[BatchFinished]:
        """The ends of a batch that the webhook receiver was told of, each id once."""
        told = {call.id: call.payload["data"] for call in self.webhooks.calls if call.verified}
        events = [BatchFinished.model_validate(data) for data in told.values()]
        return [event for event in events if event.batch_id == batch_id]


@asynccontextmanager
async def running_cluster(
    servers: Servers, environment: dict[str, str] | None = None, *, workers: int = 2, known: Sequence[str] = ("noop",)
) -> AsyncIterator[Cluster]:
    """Start the services and wait until a batch can be submitted; stop them at the end."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        folder = Path(name)
        supervisor = Supervisor(folder, print)
        async with (
            WebhookReceiver(SECRET) as webhooks,
            Mailbox() as mailbox,
            Client.connect(servers.amqp_url) as client,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}/api/v1/") as http,
        ):
            settings = {
                "BATCHYARD_WEBHOOK_SECRET": SECRET,
                "BATCHYARD_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
                "BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS": "127.0.0.0/8",
                "BATCHYARD_SMTP_URL": mailbox.url,
                "BATCHYARD_MAIL_FROM": "batchyard@example.test",
                "BATCHYARD_DELIVERY_SCHEDULE": "0,0.2,0.5,1,2,5",
                "BATCHYARD_DELIVERY_LEASE_S": "26",
                "BATCHYARD_LEASE_S": "4",
                "BATCHYARD_HEARTBEAT_S": "1",
                "BATCHYARD_TRACE_FILE": str(folder / "spans.jsonl"),
            }
            plan = Plan(folder, workers=workers, http_port=port, environment=settings | (environment or {}))
            try:
                await supervisor.start(*programs(plan, servers, port))
                for workload in known:
                    await _until_announced(http, workload)
                yield Cluster(servers, supervisor, client, http, webhooks, mailbox, folder)
            finally:
                await supervisor.stop()


async def _until_announced(http: aiohttp.ClientSession, workload: str) -> None:
    """A worker announces itself by a message, which reaches ingest a moment after both are ready."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with http.get(f"workloads/{workload}") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.05)  # HTTP has no way to be told
