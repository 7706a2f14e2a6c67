"""An owner is erased with everything that is kept of it in all services, and nothing of others is touched."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested
from devstack import Servers
from services.ingest.export_jobs.export_cleaner import ExportCleaner
from services.ingest.retention.owner_eraser import OwnerEraser
from services.ingest.retention.shared_results import SharedResults
from services.worker.caching.result_cache import CachedResult, CachePolicy, ClaimRelease, ResultCache
from shared.artefacts.folder import FolderStore
from shared.artefacts.store import StoreFailed
from shared.redis.client import RedisClient
from shared.redis.keys import SHARED_RESULTS, shared_results_index
from tests.support.patience import until
from tests.support.running_ingest import IngestHarness, running_ingest

OPERATOR_KEY = new_api_key("test")
OPERATOR = {"Authorization": f"Bearer {OPERATOR_KEY}"}
REASON = {"reason": "contract ended"}
BODY: dict[str, Any] = {"workload": "squares", "items": [{"payload": {"n": 1}}], "name": "secret"}
TABLES = (
    "batches", "follow_ups", "schedules", "templates", "batch_actions", "api_keys", "owner_limits", "retention_rules",
    "audit", "deletions", "erasures", "exports",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a step every tenth of a second, of three rows at a time."""
    monkeypatch.setattr(OwnerEraser, "INTERVAL_S", 0.1)
    monkeypatch.setattr("services.ingest.retention.owner_eraser._MOST_ROWS", 3)
    monkeypatch.setattr("services.ingest.retention.owner_eraser._MOST_BATCHES", 2)


async def key_of(harness: IngestHarness, owner: str) -> dict[str, str]:
    status, made = await harness.post("/keys", json={"name": "a key", "owner": owner}, headers=OPERATOR)
    assert status == 201
    return {"Authorization": f"Bearer {made['key']}"}


async def erasure(harness: IngestHarness, owner: str = "ann") -> Any:
    status, found = await harness.get(f"/owners/{owner}/erasure", headers=OPERATOR)
    assert status == 200
    return found


async def fill(harness: IngestHarness, owner: str, headers: dict[str, str], batches: int) -> None:
    """Give an owner batches and whatever else it may have."""
    for _ in range(batches):
        assert (await harness.post("/batches", json=BODY, headers=headers))[0] == 202
    await harness.rows(
        "INSERT INTO schedules (schedule_id, owner, name, workload, form) "
        "VALUES (gen_random_uuid(), $1, 'nightly', 'squares', '{}')",
        owner,
    )
    await harness.rows(
        "INSERT INTO templates (owner, name, version, workload, form, created_by) "
        "SELECT $1, 'mine', n, 'squares', '{}', $1 FROM generate_series(1, 7) AS n",
        owner,
    )
    await harness.rows(
        "INSERT INTO batch_actions (action_id, owner, actor, door, form, ended_at) "
        "VALUES (gen_random_uuid(), $1, $1, 'http', '{}', now())",
        owner,
    )
    await harness.rows("INSERT INTO retention_rules VALUES ($1, '*', '{\"batch\": 100}')", owner)
    async with harness.http.patch(
        f"{harness.url}/owners/{owner}/limits", json={"requests": 999}, headers=OPERATOR
    ) as response:
        assert response.status == 200


async def answer_deletions(harness: IngestHarness) -> None:
    """Report every deletion that is requested, as the other services do."""
    for one in harness.all(DeletionRequested):
        for service in ("dispatcher", "aggregator", "notifier"):
            deleted = {"pages": 1} if service == "dispatcher" else {}
            report = {"batch_id": one.batch_id, "kind": "batch", "service": service, "deleted": deleted, "at": one.at}
            await harness.publish(FLOW, DeletionCompleted.model_validate(report))


async def test_everything_of_an_owner_goes_and_nothing_of_another(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        await harness.announce(headers=OPERATOR)
        ann, bob = [await key_of(harness, owner) for owner in ("ann", "bob")]
        await fill(harness, "ann", ann, 5)
        await fill(harness, "bob", bob, 1)
        await harness.rows("UPDATE batches SET done = true")
        before = await rows_of(harness, "bob")
        status, _ = await harness.post("/owners/ann/erase", json=REASON, headers=OPERATOR)
        assert status == 202
        await until(lambda: harness.get("/limits", headers=ann), lambda answer: answer[0] == 401)
        await harness.wait_for(DeletionRequested, 5)
        assert "completed_at" not in await erasure(harness), "the other services have not reported"
        await answer_deletions(harness)
        found = await until(lambda: erasure(harness), lambda one: "completed_at" in one)
        assert found["deleted"]["dispatcher"] == {"pages": 5}
        ingest = found["deleted"]["ingest"]
        assert {name: ingest[name] for name in ("batches", "templates", "schedules", "api_keys")} == {
            "batches": 5, "templates": 7, "schedules": 1, "api_keys": 1,
        }  # fmt: skip
        for table in TABLES:
            found_rows = await harness.rows(f"SELECT row_to_json({table})::text AS text FROM {table}")
            assert [row["text"] for row in found_rows if '"ann"' in row["text"]] == [], table
        assert await rows_of(harness, "bob") == before
        assert (await harness.get("/limits", headers=bob))[0] == 200
        (entry,) = await harness.rows("SELECT actor, object, after FROM audit WHERE action = 'owner.erase'")
        assert entry["actor"] == "operator"
        assert "contract ended" in entry["after"]
        UUID(entry["object"])
        assert (await harness.post("/owners/ann/erase", json=REASON, headers=OPERATOR))[0] == 202, "it may be repeated"


async def test_an_erasure_waits_until_the_exports_of_the_owner_are_deleted(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_away = True

    async def delete(_: FolderStore, names: Sequence[str]) -> None:
        if is_away:
            raise StoreFailed("the store is away")

    monkeypatch.setattr(FolderStore, "delete", delete)
    monkeypatch.setattr(ExportCleaner, "INTERVAL_S", 0.1)
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        await harness.rows(
            "INSERT INTO exports (export_id, owner, batch_id, form, ended_at) "
            "VALUES (gen_random_uuid(), 'ann', gen_random_uuid(), '{}', now())"
        )
        await harness.rows(
            "INSERT INTO templates (owner, name, version, workload, form, created_by) "
            "VALUES ('ann', 'mine', 1, 'squares', '{}', 'ann'), ('bob', 'mine', 1, 'squares', '{}', 'bob')"
        )
        for owner in ("ann", "bob"):
            assert (await harness.post(f"/owners/{owner}/erase", json=REASON, headers=OPERATOR))[0] == 202
        await until(lambda: erasure(harness, "bob"), lambda one: "completed_at" in one)
        assert "completed_at" not in await erasure(harness), "files of its exports are left"
        is_away = False
        await until(lambda: erasure(harness), lambda one: "completed_at" in one)
        assert await harness.rows("SELECT FROM exports") == []


async def rows_of(harness: IngestHarness, owner: str) -> dict[str, int]:
    return {
        table: (await harness.rows(f"SELECT count(*) AS n FROM {table} WHERE owner = $1", owner))[0]["n"]
        for table in TABLES
        if table not in {"audit", "erasures"}
    }


async def test_an_owner_with_the_name_erased_sees_no_erased_batch_and_is_erased_itself(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        await harness.announce(headers=OPERATOR)
        batches = []
        for owner in ("ann", "erased"):
            headers = await key_of(harness, owner)
            _, accepted = await harness.post("/batches", json=BODY, headers=headers)
            batches.append(accepted["batch_id"])
        await harness.rows("UPDATE batches SET done = true")
        for number, owner in enumerate(("ann", "erased"), 1):
            status, found = await harness.get(f"/batches/{batches[0]}/deletion", headers=headers)
            assert (status, found["code"]) == (404, "batch_not_found")
            assert (await harness.post(f"/owners/{owner}/erase", json=REASON, headers=OPERATOR))[0] == 202
            await harness.wait_for(DeletionRequested, number)
            await answer_deletions(harness)
            found = await until(partial(erasure, harness, owner), lambda one: "completed_at" in one)
            assert found["deleted"]["dispatcher"] == {"pages": 1}


async def test_an_owner_with_batches_that_run_is_not_erased(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        await harness.announce(headers=OPERATOR)
        ann = await key_of(harness, "ann")
        assert (await harness.post("/batches", json=BODY, headers=ann))[0] == 202
        status, problem = await harness.post("/owners/ann/erase", json=REASON, headers=OPERATOR)
        assert (status, problem["code"]) == (409, "owner_busy")
        assert (await harness.get("/owners/ann/erasure", headers=OPERATOR))[0] == 404
        assert (await harness.get("/limits", headers=ann))[0] == 200, "its key still works"


@pytest.mark.parametrize("document", [{}, {"reason": ""}, {"reason": "a\nb"}, {"reason": "x" * 501}, {"why": "x"}, []])
async def test_an_erasure_needs_a_reason(clean: Servers, document: Any) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        status, _ = await harness.post("/owners/ann/erase", json=document, headers=OPERATOR)
        assert status == 422
        assert await harness.rows("SELECT FROM erasures") == []


async def test_results_that_batches_of_the_owner_share_go_from_redis(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.retention.shared_results._MOST_KEYS", 2)
    memory = RedisClient(clean.redis_url)
    results = ResultCache(memory)
    items = [(n, "claimant") for n in range(5)]

    def policy(owner: str) -> CachePolicy:
        index = shared_results_index(owner, "squares")
        return CachePolicy("squares", f"{SHARED_RESULTS}{owner}:cache:{{squares}}:1", None, 60, 1000, index)

    async def known(owner: str) -> int:
        _, entries = await results.claim(policy(owner), items)
        return sum(isinstance(entry, CachedResult) for entry in entries)

    for owner in ("ann", "ann-2", "bob"):
        claimed_at, _ = await results.claim(policy(owner), items)
        await results.release(policy(owner), claimed_at, [ClaimRelease(*item, result=b"1") for item in items])
        assert await known(owner) == 5
        assert 0 < await memory.client.ttl(shared_results_index(owner, "squares")) <= 60
    away = [None, None]
    delete = SharedResults.delete

    async def away_at_first(self: SharedResults, *arguments: Any) -> int | None:
        return away.pop() if away else await delete(self, *arguments)

    monkeypatch.setattr(SharedResults, "delete", away_at_first)
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        await harness.announce(headers=OPERATOR)
        assert (await harness.post("/owners/ann/erase", json=REASON, headers=OPERATOR))[0] == 202
        found = await until(lambda: erasure(harness), lambda one: "completed_at" in one)
    assert found["deleted"]["worker"] == {"shared_results": 5}
    assert away == []
    assert [await known(owner) for owner in ("ann", "ann-2", "bob")] == [0, 5, 5]
    assert await memory.client.exists(shared_results_index("ann", "squares")) == 0
    await memory.close()
