"""The tree of the oldest commit whose services run beside those of today."""

import subprocess
from pathlib import Path

import pytest

from batchyard_contracts.schema.compat import History
from batchyard_contracts.schema.export import HOME


def older_tree(folder: Path) -> Path:
    """Write the tree of the oldest compatible commit into a folder; skips the test where there is no history."""
    base = History(HOME).base()
    if base is None:
        pytest.skip("nothing was published yet, or the history is not here")
    archive = subprocess.run(["git", "-C", HOME.parent, "archive", base], capture_output=True, check=True, timeout=60)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True, timeout=60)
    return folder


def environment_of(tree: Path) -> dict[str, str]:
    """Return the variables with which Python runs a tree in place of this one."""
    return {"PYTHONPATH": f"{tree}:{tree / 'contracts'}", "PYTHONSAFEPATH": "1"}
