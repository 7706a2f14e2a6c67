"""The command where the local stack is not installed, as in the image."""

import subprocess
import sys

import pytest

_RUN = "import sys; sys.modules['devstack'] = None; from services.cli.__main__ import main; main(sys.argv[1:])"


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _RUN, *argv], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["up", "down"])
def test_commands_of_the_local_stack_say_where_it_comes_from(command: str) -> None:
    ended = _run(command)
    assert ended.returncode == 4
    assert "comes with a checkout" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_needs_no_local_stack() -> None:
    assert _run("--help").returncode == 0


@pytest.mark.parametrize(
    "heavy", ["msgspec", "orjson", "aiohttp", "pydantic", "rich", "asyncio", "batchyard_contracts.v1"]
)
def test_help_imports_no_library_that_it_does_not_need(heavy: str) -> None:
    program = f"import sys; sys.modules[{heavy!r}] = None; from services.cli.__main__ import main; main(['--help'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, "submit" in ended.stdout) == (0, True), ended.stderr[-500:]
