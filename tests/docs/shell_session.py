"""The shell of a reader: variables and the folder stay from one block to the next, as in one terminal."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from devstack.stack import PROJECT

WITHIN_S = 120
_LEFT_OUT = shutil.ignore_patterns("node_modules", "build", "__pycache__")


@dataclass
class ShellSession:
    """Terminal in a folder that looks like a checkout, with what runs in the background."""

    folder: Path
    environment: Mapping[str, str]
    _running: subprocess.Popen[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        shutil.copytree(PROJECT / "examples", self.folder / "examples", ignore=_LEFT_OUT)
        for name in ("contracts", ".venv"):
            (self.folder / name).symlink_to(PROJECT / name)
        (self._state / "cwd").parent.mkdir()
        (self._state / "cwd").write_text(str(self.folder), "utf-8")
        (self._state / "variables").write_text("", "utf-8")

    @property
    def state(self) -> str:
        """Variables of the shell, to begin another session with."""
        return (self._state / "variables").read_text("utf-8")

    def adopt(self, state: str) -> None:
        """Begin with the variables of another session."""
        (self._state / "variables").write_text(state, "utf-8")

    def run(self, code: str) -> str:
        """Run shell code and return its output. Raises AssertionError with it if it ends badly."""
        save = f"export -p > {self._path('variables')}; pwd > {self._path('cwd')}"
        ended = self._start(f"{code}\n{save}")
        try:
            said, _ = ended.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {WITHIN_S} s\n{code}\n{_end(ended, signal.SIGKILL)[-3000:]}") from None
        assert ended.returncode == 0, f"ended with {ended.returncode}\n{code}\n{said[-3000:]}"
        return said

    def run_on(self, code: str, says: str) -> None:
        """Start shell code that goes on by itself, in place of what went on before, and wait until it says a text."""
        self.stop()
        self._running = self._start(code)
        assert self._running.stdout
        said = ""
        for line in self._running.stdout:
            said += line
            if says in line:
                return
        raise AssertionError(f"ended early\n{code}\n{said[-3000:]}")

    def stop(self) -> None:
        """End what goes on by itself, as Ctrl-C does, and check that it had not ended before."""
        if self._running is None:
            return
        running, self._running = self._running, None
        ended = running.poll() is not None
        said = _end(running, signal.SIGINT)
        assert not ended, f"ended early\n{said[-3000:]}"

    @property
    def _state(self) -> Path:
        return self.folder / ".shell"

    def _path(self, name: str) -> str:
        return quote(str(self._state / name))

    def _start(self, code: str) -> subprocess.Popen[str]:
        begin = f'source {self._path("variables")} && cd "$(cat {self._path("cwd")})"'
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f"{begin}\n{code}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_interrupts,  # noqa: PLW1509  no thread holds a lock here
        )


def _end(process: subprocess.Popen[str], by: signal.Signals) -> str:
    """End a process and those that it has started, and return its output."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, by)
    return process.communicate(timeout=WITHIN_S)[0]


def _heed_interrupts() -> None:
    """Undo that a shell makes its background programs ignore Ctrl-C, and these tests with them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
