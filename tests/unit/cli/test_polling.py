"""Commands that wait for the server say how to go on when they are interrupted."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from services.cli.actions import polling
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

EXPORT: dict[str, Any] = {"id": str(uuid4()), "state": "running", "format": "csv", "rows": 1, "parts": []}
GOES_ON = {
    ("export", BATCH): f"To go on: batchyard export {BATCH} --id {EXPORT['id']}\n",
    ("delete", BATCH, "--yes"): "The deletion was accepted, and goes on.\n",
    ("retry", BATCH): f"The retry was accepted. See how far it is: batchyard status {BATCH}\n",
}


@pytest.fixture
def accepting(cluster: FakeCluster) -> FakeCluster:
    """A cluster that accepts everything, and is never done."""
    deletion = {"batch_id": BATCH, "deleted": {}}
    cluster.answer(f"GET /batches/{BATCH}", state(status="finished", result="failed"))
    cluster.answer(f"POST /batches/{BATCH}/exports", EXPORT, status=202)
    cluster.answer(f"GET /batches/{BATCH}/exports/{EXPORT['id']}", EXPORT)
    cluster.answer(f"DELETE /batches/{BATCH}", deletion, status=202)
    cluster.answer(f"GET /batches/{BATCH}/deletion", deletion)
    cluster.answer(f"POST /batches/{BATCH}/retry", {"batch_id": BATCH, "retried": 1}, status=202)
    return cluster


@pytest.mark.parametrize("command", GOES_ON)
async def test_ctrl_c_says_how_to_go_on(
    run: Run, accepting: FakeCluster, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=interrupt))
    ended = await run(*command)
    assert ended.code == Exit.INTERRUPTED, ended.err
    assert GOES_ON[command] in ended.err


async def test_a_server_that_is_gone_says_how_to_go_on(run: Run, accepting: FakeCluster) -> None:
    gone = {"title": "Unavailable", "status": 503, "detail": "It is away."}
    accepting.answer(f"GET /batches/{BATCH}/exports/{EXPORT['id']}", gone, status=503)
    ended = await run("export", BATCH)
    assert ended.code == Exit.UNREACHABLE
    assert GOES_ON["export", BATCH] in ended.err


def test_a_state_is_returned_once_it_is_done_or_the_time_is_over() -> None:
    states = iter(range(9))
    assert polling.poll(lambda: next(states), lambda found: found == 3, every_s=0.0) == 3
    assert polling.poll(lambda: next(states), lambda _: False, every_s=0.0, within_s=0.0) == 4
