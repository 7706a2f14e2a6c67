"""A command with a short answer loads no library that it does not need, so that it ends soon after it is answered."""

import os
import sys

import pytest

from tests.support.command import Ended, run_program
from tests.unit.cli.conftest import BATCH, FakeCluster, state

_SLOW = ("aiohttp", "asyncio", "pydantic", "orjson", "batchyard_contracts", "devstack")
_PROGRAM = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from services.cli.__main__ import main
main(sys.argv[1:])
"""


async def _run(cluster: FakeCluster, without: tuple[str, ...], *argv: str) -> Ended:
    environment = {"BATCHYARD_URL": cluster.url, "PYTHONPATH": ":".join(sys.path)}
    return await run_program((sys.executable, "-c", _PROGRAM, ",".join(without), *argv), environment)


async def test_help_loads_nothing_heavy() -> None:
    script = "import services.cli.app, sys; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = (await run_program((sys.executable, "-c", script), os.environ)).out.split()
    assert "services" in loaded
    assert not {"aiohttp", "pydantic", "asyncpg", "aio_pika", "redis", "rich", "shared", "devstack"} & set(loaded)


@pytest.mark.parametrize(
    "argv", [("list",), ("show", BATCH), ("list", "--json"), ("failures", BATCH), ("pause", BATCH)]
)
async def test_a_short_answer_is_shown_without_slow_libraries(cluster: FakeCluster, argv: tuple[str, ...]) -> None:
    cluster.answer("GET /batches", {"batches": [state()]})
    cluster.answer(f"GET /batches/{BATCH}", state())
    cluster.answer(f"GET /batches/{BATCH}/failures", {"groups": []})
    cluster.answer(f"POST /batches/{BATCH}/pause", {"batch_id": BATCH})
    draws = argv == ("list",) or argv[0] in {"show", "failures"}
    ended = await _run(cluster, _SLOW if draws else (*_SLOW, "rich"), *argv)
    assert ended.code == 0, ended.err
    assert ended.out
    assert len(cluster.requests) == 1


async def test_a_refusal_is_shown_without_slow_libraries(cluster: FakeCluster) -> None:
    ended = await _run(cluster, (*_SLOW, "rich"), "show", BATCH)
    assert (ended.code, "no GET" in ended.err) == (5, True), ended.err
