"""A command with a short answer loads no library that it does not need, so that it ends soon after it is answered."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import BATCH, FakeCluster, state

_SLOW = ("aiohttp", "asyncio", "pydantic", "orjson", "batchyard_contracts", "devstack")
_PROGRAM = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from services.cli.__main__ import main
main(sys.argv[1:])
"""


async def _run(cluster: FakeCluster, without: tuple[str, ...], *argv: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, ",".join(without), *argv),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"BATCHYARD_URL": cluster.url, "PYTHONPATH": ":".join(sys.path)},
        cwd=Path(__file__).parents[3],
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    "argv", [("list",), ("show", BATCH), ("list", "--json"), ("failures", BATCH), ("pause", BATCH)]
)
async def test_a_short_answer_is_shown_without_slow_libraries(cluster: FakeCluster, argv: tuple[str, ...]) -> None:
    cluster.answer("GET /batches", {"batches": [state()]})
    cluster.answer(f"GET /batches/{BATCH}", state())
    cluster.answer(f"GET /batches/{BATCH}/failures", {"groups": []})
    cluster.answer(f"POST /batches/{BATCH}/pause", {"batch_id": BATCH})
    draws = argv == ("list",) or argv[0] in {"show", "failures"}
    code, out, err = await _run(cluster, _SLOW if draws else (*_SLOW, "rich"), *argv)
    assert code == 0, err
    assert out
    assert len(cluster.requests) == 1


async def test_a_refusal_is_shown_without_slow_libraries(cluster: FakeCluster) -> None:
    code, _, err = await _run(cluster, (*_SLOW, "rich"), "show", BATCH)
    assert (code, "no GET" in err) == (5, True), err
