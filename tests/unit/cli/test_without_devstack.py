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
