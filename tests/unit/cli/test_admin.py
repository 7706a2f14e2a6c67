"""`batchyard admin` lists batches without progress with their reasons, and applies remedies."""

from typing import Any

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

REASONS: list[dict[str, Any]] = [
    {"code": "in_flight", "detail": "3 items are at workers.", "items": 3},
    {"code": "not_before", "detail": "It has a start time.", "until": "2026-11-21T21:00:00Z"},
]


async def test_each_batch_is_listed_with_its_reasons(run: Run, cluster: FakeCluster) -> None:
    batch = state(owner="ann", name="nightly")
    stuck = {"batch": batch, "since": "2026-11-21T20:00:00Z", "reasons": REASONS}
    cluster.answer("GET /stuck", {"batches": [stuck]})
    ended = await run("admin", "stuck", "--idle", "5")
    text = " ".join(ended.out.split())
    assert ended.code == Exit.OK
    assert f"{BATCH} ann tracklists 'nightly' running, last changed" in text
    assert "3 items are at workers." in text
    assert "It has a start time. Until 2026-11-2" in text
    assert dict(cluster.queries[-1]) == {"idle_s": "5", "limit": "50"}


async def test_no_batch_without_progress_is_said(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /stuck", {"batches": []})
    assert (await run("admin", "stuck")).out == "Every batch makes progress.\n"


async def test_a_remedy_is_for_a_batch_of_the_user_unless_another_owner_is_named(
    run: Run, cluster: FakeCluster
) -> None:
    cluster.answer("GET /session", {"owner": "me", "scopes": []})
    cluster.answer(f"POST /batches/{BATCH}/remedies", {"batch_id": BATCH})
    for remedy, options, owner in (("release", [], "me"), ("replay", ["--owner", "ann"], "ann")):
        ended = await run("admin", remedy, BATCH, "--reason", "it hangs", *options)
        assert ended.code == Exit.OK
        assert cluster.requests[-1] == (
            f"POST /batches/{BATCH}/remedies",
            {"remedy": remedy, "reason": "it hangs"},
        )
        assert dict(cluster.queries[-1]) == {"owner": owner}


async def test_a_remedy_needs_a_reason(run: Run, cluster: FakeCluster) -> None:
    ended = await run("admin", "release", BATCH)
    assert ended.code == Exit.USAGE
    assert "--reason" in ended.err
    assert cluster.requests == []


async def test_an_owner_is_erased_only_when_that_is_confirmed_with_a_reason(run: Run, cluster: FakeCluster) -> None:
    for options in ((), ("--reason", "left"), ("--yes",)):
        assert (await run("admin", "erase", "ann", *options)).code == Exit.USAGE
    assert cluster.requests == []
    cluster.answer("POST /owners/ann/erase", {"requested_at": "2026-11-21T20:00:00Z", "deleted": {}}, status=202)
    ended = await run("admin", "erase", "ann", "--reason", "left", "--yes")
    assert (ended.code, ended.out) == (Exit.OK, "under way\n")
    assert cluster.requests == [("POST /owners/ann/erase", {"reason": "left"})]


async def test_the_command_shows_how_far_an_erasure_is(run: Run, cluster: FakeCluster) -> None:
    deleted = {"ingest": {"batches": 5, "api_keys": 1}, "notifier": {}}
    done = {"requested_at": "2026-11-21T20:00:00Z", "completed_at": "2026-11-21T20:01:00Z", "deleted": deleted}
    cluster.answer("GET /owners/ann/erasure", done)
    ended = await run("admin", "erase", "ann", "--show")
    assert ended.out == "ingest: 5 batches, 1 API key\nnotifier: nothing\ncomplete\n"
