"""A running cluster with keys, a browser, and visits that fail for whatever a reader should not meet."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from batchyard_contracts.api_keys import new_api_key
from devstack import Servers
from tests.support.chromium import START_FLAGS, chromium_program
from tests.support.cluster import Cluster, running_cluster
from tests.support.dashboard_visit import Visit, sign_in, visiting
from tests.support.patience import until
from tests.support.servers import IsolatedServers

OWNER = "ann"
_SCOPES = ("batches:read", "batches:write", "results:read", "schedules:write", "webhooks:write", "keys:write")


@dataclass(frozen=True)
class Yard:
    """A cluster, with the keys of its operator and of one owner."""

    cluster: Cluster
    operator_key: str
    owner_key: str

    @property
    def url(self) -> str:
        """Address of the dashboard."""
        return self.cluster.urls[0]

    async def create_key(self, owner: str, name: str = "a key of the tests") -> str:
        """Create a key of an owner."""
        document = {"name": name, "owner": owner, "scopes": _SCOPES}
        async with self.cluster.http.post("keys", json=document) as answer:
            assert answer.status == 201, await answer.text()
            key: str = (await answer.json())["key"]
        return key

    async def submit(self, items: list[dict[str, Any]], *, key: str | None = None, **fields: Any) -> UUID:
        """Submit a batch of noop."""
        document = {"workload": "noop", "items": [{"payload": item} for item in items], **fields}
        headers = {"Authorization": f"Bearer {key or self.owner_key}"}
        async with self.cluster.http.post("batches", json=document, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            return UUID((await answer.json())["batch_id"])

    async def submit_and_wait(self, items: list[dict[str, Any]], **fields: Any) -> UUID:
        """Submit a batch of noop, and wait until it has finished."""
        batch_id = await self.submit(items, **fields)
        await until(lambda: self._status(batch_id), lambda status: status == "finished", pause_s=0.1)
        return batch_id

    async def _status(self, batch_id: UUID) -> str:
        headers = {"Authorization": f"Bearer {self.owner_key}"}
        async with self.cluster.http.get(f"batches/{batch_id}", headers=headers) as answer:
            status: str = (await answer.json()).get("status", "")
        return status


@pytest.fixture(scope="session")
def yard_servers(shared_servers: IsolatedServers) -> Iterator[Servers]:
    """A virtual host, a database and a Redis database for the cluster."""
    with shared_servers.isolated() as isolated:
        yield isolated


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def yard(yard_servers: Servers) -> AsyncIterator[Yard]:
    """The five services, whose API asks for keys."""
    operator_key = new_api_key("test")
    async with running_cluster(yard_servers, {"BATCHYARD_OPERATOR_KEY": operator_key}, token=operator_key) as cluster:
        first = Yard(cluster, operator_key, "")
        yield Yard(cluster, operator_key, await first.create_key(OWNER, "Ann's laptop"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, for all tests."""
    program = chromium_program()
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=list(START_FLAGS))
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser, yard: Yard) -> AsyncIterator[Visit]:
    """A visit without a session."""
    async with visiting(browser, yard.url) as visit:
        yield visit
        assert visit.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, yard: Yard) -> AsyncIterator[Visit]:
    """A visit of the owner."""
    async with visiting(browser, yard.url) as visit:
        await sign_in(visit, yard.owner_key)
        yield visit
        assert visit.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def operator(browser: Browser, yard: Yard) -> AsyncIterator[Visit]:
    """A visit of the operator."""
    async with visiting(browser, yard.url) as visit:
        await sign_in(visit, yard.operator_key)
        yield visit
        assert visit.faults == []
