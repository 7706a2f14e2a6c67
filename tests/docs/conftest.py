"""A fresh local cluster, as a reader starts it, for all pages."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.stack import PROJECT
from tests.docs.blocks import blocks
from tests.docs.shell_session import ShellSession

Open = Callable[[Path, bool], ShellSession]


@pytest.fixture(scope="session")
def open_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Opens the shell of somebody who reads a page: README from its beginning, others after README's set-up."""
    home = tmp_path_factory.mktemp("home")
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHYARD_", "VIRTUAL_ENV"))}
    (home / ".curlrc").write_text("fail-with-body\n", "ascii")  # else curl ends well when it is refused
    own_path = [part for part in mine["PATH"].split(":") if Path(part) != Path(sys.executable).parent]
    environment = {
        **mine,
        "CURL_HOME": str(home),
        "BATCHYARD_HOME": str(home / "batchyard"),
        "XDG_STATE_HOME": str(home / "state"),
        "npm_config_audit": "false",
        "npm_config_prefer_offline": "true",  # a page that runs again installs the same packages
        "PATH": ":".join(own_path),
    }

    def opened(folder: Path, is_set_up: bool) -> ShellSession:
        session = ShellSession(folder, environment)
        if is_set_up:
            session.adopt(state)
        return session

    try:
        first = ShellSession(tmp_path_factory.mktemp("set-up"), environment)
        first.run(next(block.code for block in blocks(PROJECT / "README.md") if block.reason is None))
        state = first.state
        yield opened
    finally:
        down = [sys.executable, "-m", "services.cli", "down"]
        subprocess.run(down, check=True, env=environment, cwd=PROJECT)
