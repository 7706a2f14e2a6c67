"""A fresh local cluster, as a reader starts it, for all pages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from devstack.stack import PROJECT


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Environment of somebody who has typed `batchyard up --detach` and `eval "$(batchyard env)"`."""
    home = tmp_path_factory.mktemp("home")
    mine = {name: value for name, value in os.environ.items() if not name.startswith("BATCHYARD_")}
    (home / ".curlrc").write_text("fail-with-body\n", "ascii")  # else curl ends well when it is refused
    environment = {
        **mine,
        "CURL_HOME": str(home),
        "BATCHYARD_HOME": str(home / "batchyard"),
        "XDG_STATE_HOME": str(home / "state"),
        "PATH": f"{Path(sys.executable).parent}:{mine['PATH']}",
        "PYTHONPATH": str(PROJECT),
    }
    try:
        subprocess.run(["batchyard", "up", "--detach"], check=True, env=environment)
        printed = subprocess.check_output(["batchyard", "env", "--json"], env=environment)
        yield environment | json.loads(printed)
    finally:
        subprocess.run(["batchyard", "down"], check=True, env=environment)
