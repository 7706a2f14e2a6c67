"""`batchyard limits`."""

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

LIMITS = {
    "owner": "ann",
    "limits": {"requests": 1000, "key_requests": 10000, "waiting_items": 2000000, "uploads": 5, "websockets": 500,
               "questions": 50, "deliveries": 10000},
    "set": {"requests": 1000, "uploads": 5},
    "in_use": {"uploads": 1, "websockets": 0, "questions": 0},
}  # fmt: skip


async def test_limits_are_shown_with_what_was_set_and_what_is_in_use(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("GET /limits", LIMITS)
    cluster.answer("GET /owners/limits", {"owners": [LIMITS]})
    cluster.answer("GET /owners/ann/limits", LIMITS)
    for words in (("show",), ("list",), ("show", "ann")):
        ended = await run("limits", *words)
        assert ended.code == Exit.OK
        assert "2,000,000" in ended.out
        assert "as in the settings" in ended.out


async def test_only_the_limits_that_are_given_are_sent(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("PATCH /owners/ann/limits", LIMITS)
    ended = await run("limits", "set", "ann", "--requests", "1000", "--weight", "2.5")
    assert ended.code == Exit.OK
    assert cluster.requests[-1][1] == {"requests": 1000, "weight": 2.5}


async def test_limits_are_taken_back(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("DELETE /owners/ann/limits", {**LIMITS, "set": {}})
    assert (await run("limits", "clear", "ann")).code == Exit.OK


async def test_nothing_to_set_is_an_error_that_says_what_to_do(cluster: FakeCluster, run: Run) -> None:
    ended = await run("limits", "set", "ann")
    assert ended.code == Exit.USAGE
    assert "--requests" in ended.err
    assert not cluster.requests
