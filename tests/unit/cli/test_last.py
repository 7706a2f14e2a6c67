"""`last` is the batch that this user submitted last, and the command says which one it took."""

from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

OTHER = "019a2b3c-0000-7000-8000-000000000002"
ACCEPTED = {"batch_id": BATCH, "workload": "noop", "items": 1, "accepted_at": "2026-11-21T20:00:00Z"}


async def test_last_is_what_was_submitted_here_and_not_what_is_newest(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    cluster.answer("GET /batches", {"batches": [state(batch_id=OTHER)]})
    cluster.answer(f"GET /batches/{BATCH}", state(name="mine"))
    cluster.answer(f"POST /batches/{BATCH}/cancel", ACCEPTED, status=202)
    assert (await run("submit", "noop", "--item", "{}")).code == 0
    ended = await run("cancel", "last")
    assert ended.out == f"{BATCH}: cancelling\n"
    assert f"last: {BATCH} tracklists 'mine', accepted " in ended.err


async def test_without_a_submission_last_is_the_newest_batch_of_the_owner(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": [state(batch_id=OTHER)]})
    cluster.answer(f"POST /batches/{OTHER}/pause", ACCEPTED, status=202)
    ended = await run("pause", "last")
    assert f"last: {OTHER}" in ended.err
    assert cluster.queries[0] == [("limit", "1")]


async def test_a_submission_that_is_gone_is_said_to_be_gone(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    await run("submit", "noop", "--item", "{}")
    cluster.answer("GET /batches", {"batches": [state(batch_id=OTHER)]})
    cluster.answer(f"GET /batches/{OTHER}", state(batch_id=OTHER))
    ended = await run("show", "last")
    assert f"{BATCH}, is not there any more" in ended.err
    assert f"last: {OTHER}" in ended.err


async def test_each_address_has_a_last_batch_of_its_own(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    await run("submit", "noop", "--item", "{}")
    cluster.answer("GET /batches", {"batches": [state(batch_id=OTHER)]})
    cluster.answer(f"GET /batches/{OTHER}", state(batch_id=OTHER))
    other_name = cluster.url.replace("127.0.0.1", "localhost")
    assert f"last: {OTHER}" in (await run("show", "last", "--url", other_name)).err


async def test_no_batch_at_all_is_said_so(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": []})
    ended = await run("show", "last")
    assert ended.code == 5
    assert "no batch yet" in ended.err
