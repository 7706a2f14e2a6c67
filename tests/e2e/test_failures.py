"""Tests of failures by cause, run again by selection and with changed payloads, across kills of the services."""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import aiohttp
import asyncpg
import pytest

from batchyard_contracts.client import NoReply
from batchyard_contracts.v1.values import Counts, NewItem
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTAL = 300
NO_FAIL = [{"op": "remove", "path": "/fail"}, {"op": "add", "path": "/sleep_s", "value": 0.2}]


def items() -> list[NewItem]:
    """Return items of which half succeed and the others fail for one of three causes."""
    fails: dict[int, dict[str, Any]] = {1: {"fail": "not_found"}, 3: {"fail": "blocked"}, 5: {"fail_attempts": 9}}
    return [NewItem(payload={"n": n} | fails.get(n % 6, {}), custom_id=f"row-{n}") for n in range(TOTAL)]


async def retry(cluster: Cluster, batch_id: object, document: Any = None) -> tuple[int, Any]:
    """POST a retry, repeatedly while a killed service is unavailable; the idempotency key makes that safe."""
    headers = {"Idempotency-Key": str(document)[:200].encode().hex()[:255]}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with cluster.http.post(f"batches/{batch_id}/retry", json=document, headers=headers) as answer:
                    if answer.status < 502:
                        return answer.status, await answer.json(content_type=None)
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def rows(cluster: Cluster, batch_id: object) -> dict[int, tuple[str, int, int, str | None, object]]:
    """Return the ledger's rows by ordinal: status, round, attempts, error code and time of record."""
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        found = await connection.fetch(
            "SELECT ordinal, outcomes.status, outcomes.round, attempts, error_code, recorded_at "
            "FROM aggregator.outcomes JOIN aggregator.batches ON batch = id WHERE batch_id = $1",
            batch_id,
        )
    finally:
        await connection.close()
    return {row["ordinal"]: tuple(row)[1:] for row in found}


async def test_a_retry_of_one_cause_completes_across_kills(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", items())
    batch_id = receipt.batch_id
    first = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (first.round, first.result, first.counts.succeeded, first.counts.failed) == (1, "partial", 150, 150)
    before = await rows(cluster, batch_id)
    groups = {group.code: group for group in await cluster.client.failures(batch_id)}
    assert {code: (group.count, group.retryable) for code, group in groups.items()} == {
        "not_found": (50, False),
        "blocked": (50, False),
        "requested_failure": (50, True),
    }
    select = {"causes": [groups["not_found"].cause]}

    status, preview = await retry(cluster, batch_id, {"select": select, "patch": NO_FAIL, "dry_run": True})
    assert (status, preview["items"], preview["invalid"], len(preview["samples"])) == (200, 50, 0, 3)
    assert preview["samples"][0] == {
        "ordinal": 1,
        "custom_id": "row-1",
        "partition": "",
        "before": {"n": 1, "fail": "not_found"},
        "after": {"n": 1, "sleep_s": 0.2},
    }
    both = {"causes": [*select["causes"], groups["requested_failure"].cause]}
    status, preview = await retry(cluster, batch_id, {"select": both, "patch": NO_FAIL, "dry_run": True})
    assert (status, preview["items"], preview["invalid"]) == (200, 50, 50)
    assert (preview["invalid_items"][0]["ordinal"], preview["invalid_items"][0]["code"]) == (5, "patch_not_applicable")
    wrong = [{"op": "replace", "path": "/n", "value": "seven"}]
    status, preview = await retry(cluster, batch_id, {"patch": wrong, "dry_run": True})
    assert (preview["items"], preview["invalid"], preview["invalid_items"][0]["code"]) == (0, 150, "invalid_item")
    status, refused = await retry(cluster, batch_id, {"select": both, "patch": NO_FAIL})
    assert (status, refused["code"]) == (422, "patch_not_applicable")
    assert (await cluster.client.batch(batch_id)).round == 1, "nothing was changed"

    cluster.supervisor.kill("dispatcher", signal.SIGKILL)
    cluster.supervisor.kill("aggregator", signal.SIGKILL)
    status, accepted = await retry(cluster, batch_id, {"select": both, "patch": NO_FAIL, "skip_invalid": True})
    assert (status, accepted["retried"]) == (202, 50)
    cluster.supervisor.kill("dispatcher", signal.SIGKILL)
    await cluster.supervisor.ready("dispatcher")
    cluster.supervisor.kill("dispatcher", signal.SIGKILL)
    cluster.supervisor.kill("aggregator", signal.SIGKILL)
    second = await _round(cluster, batch_id, 2)
    assert (second.succeeded, second.failed) == (200, 100)
    await cluster.check_ledger(batch_id, TOTAL)
    after = await rows(cluster, batch_id)
    mended = {ordinal for ordinal, row in after.items() if row != before[ordinal]}
    assert mended == {n for n in range(TOTAL) if n % 6 == 1}, "nothing else was touched"
    assert {after[ordinal][:2] for ordinal in mended} == {("succeeded", 2)}

    status, accepted = await retry(cluster, batch_id, {"select": {"ordinals": [3, 0], "custom_ids": ["row-5"]}})
    assert (status, accepted["retried"]) == (202, 2)
    third = await _round(cluster, batch_id, 3)
    assert (third.succeeded, third.failed) == (200, 100)
    status, refused = await retry(cluster, batch_id, {"select": {"statuses": ["expired"]}})
    assert (status, refused["code"]) == (409, "nothing_to_retry")


async def _round(cluster: Cluster, batch_id: Any, round_: int) -> Counts:
    """Wait for the end of a round and return its counts."""

    async def ask() -> Counts | None:
        with suppress(NoReply):  # the aggregator is killed meanwhile
            state = await cluster.client.batch(batch_id)
            if (state.round, state.status) == (round_, "finished"):
                return state.counts
        return None

    counts = await until(ask, pause_s=0.1)
    assert counts is not None
    return counts
