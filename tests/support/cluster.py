"""The five services as real processes on the servers of a test run, with a client, a webhook receiver and a mailbox."""

import json
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg

from batchyard_contracts.client import Client
from batchyard_contracts.v1.events import BatchFinished
from devstack import Program, Servers, Supervisor, free_ports
from services.cli.local_cluster import Plan, programs
from tests.support.mailbox import Mailbox
from tests.support.patience import until
from tests.support.servers import Accounts, accounts_on
from tests.support.webhook_receiver import WebhookReceiver

SECRET = "whsec_" + b64encode(b"a secret of the tests, 32 bytes.").decode()
LEASE_KEYS = "a-key-of-the-tests-that-no-worker-uses"


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
    names: tuple[str, ...]
    """Names of the programs."""
    urls: tuple[str, ...]
    """Addresses of the HTTP API, one for each ingest, without a slash at their ends."""
    accounts: Accounts
    """Variables of each service and owner, with the addresses of its accounts; none on servers without accounts."""

    def amqp_url_of(self, user: str) -> str:
        """The address of RabbitMQ for a service or an owner."""
        return self.accounts.get(user, {}).get("BATCHYARD_AMQP_URL", self.servers.amqp_url)

    def pids(self) -> dict[str, int | None]:
        """The process ids of all services, which change with each restart."""
        return {name: self.supervisor.pid(name) for name in self.names}

    def defects(self) -> list[str]:
        """Lines that the services logged as errors, apart from dead letters, whose reasons are kept with them."""
        return [line for name in self.names for line in _errors(self.supervisor.log(name))]

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
    servers: Servers,
    environment: dict[str, str] | None = None,
    *,
    workers: int = 2,
    replicas: int = 1,
    known: Sequence[str] = ("noop",),
    token: str | None = None,
    owner: str = "default",
    older: Mapping[str, str] | None = None,
) -> AsyncIterator[Cluster]:
    """Start the services with the least rights and wait until a batch can be submitted; stop them at the end.

    `replicas`: the number of processes of each service but the worker. `token`: that of the client over HTTP.
    `owner`: that of the client over AMQP. `older`: the environment in which an older version runs, one process of each
    service. They start before the others, with the rights of an administrator, as all did before there were others.
    """
    ports = free_ports(replicas + (older is not None))
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        folder = Path(name)
        supervisor = Supervisor(folder, print)
        async with (
            WebhookReceiver(SECRET) as webhooks,
            Mailbox() as mailbox,
            aiohttp.ClientSession(f"{urls[0]}/api/v1/", headers=headers) as http,
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
                "BATCHYARD_LEASE_KEYS": "" if older else LEASE_KEYS,  # older workers repeat no token
            }
            plan = Plan(folder, workers=workers, environment=settings | (environment or {}))
            replaced = _older_programs(plan, servers, ports[-1], older) if older is not None else []
            try:
                if replaced:
                    await supervisor.start(*replaced)
                accounts = await accounts_on(servers)
                replacing = list(_programs(replace(plan, accounts=accounts), servers, ports[:replicas]))
                await supervisor.start(*replacing)
                for workload in known:
                    await until_announced(http, workload)
                names = tuple(program.name for program in (*replaced, *replacing))
                client_url = accounts.get(owner, {}).get("BATCHYARD_AMQP_URL", servers.amqp_url)
                async with Client.connect(client_url, owner=owner) as client:
                    yield Cluster(
                        servers, supervisor, client, http, webhooks, mailbox, folder, names, tuple(urls), accounts
                    )
            finally:
                await supervisor.stop()


def _programs(plan: Plan, servers: Servers, http_ports: Sequence[int]) -> Iterator[Program]:
    """The programs of a cluster, and one more of each service but the worker for each further port."""
    first, *others = http_ports
    yield from programs(plan, servers, first)
    for number, port in enumerate(others, 2):
        for program in programs(replace(plan, workers=1), servers, port):
            if program.name != "worker":
                yield replace(program, name=f"{program.name}-{number}")


def _older_programs(plan: Plan, servers: Servers, http_port: int, environment: Mapping[str, str]) -> list[Program]:
    found = programs(replace(plan, workers=1), servers, http_port)
    return [replace(each, name=f"older-{each.name}", env={**each.env, **environment}) for each in found]


def _errors(log: Path) -> Iterator[str]:
    for line in log.read_text("utf-8").splitlines():
        record: Any = None
        with suppress(json.JSONDecodeError):
            record = json.loads(line)
        is_event = isinstance(record, dict) and "level" in record
        if not is_event or (record["level"] in {"error", "critical"} and record.get("event") != "dead letter"):
            yield line


async def until_announced(http: aiohttp.ClientSession, workload: str) -> None:
    """A worker announces itself by a message, which reaches ingest a moment after both are ready."""

    async def is_known() -> bool:
        async with http.get(f"workloads/{workload}") as response:
            return response.status == 200

    await until(is_known)
