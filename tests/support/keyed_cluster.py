"""A cluster whose API asks for keys, with the keys of its operator and of one owner."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.support.cluster import Cluster
from tests.support.patience import until

OWNER = "ann"
_SCOPES = ("batches:read", "batches:write", "results:read", "schedules:write", "webhooks:write", "keys:write")


@dataclass(frozen=True)
class KeyedCluster:
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
