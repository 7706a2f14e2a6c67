"""Plugin of pytest that records which lines and branches of the sources run: `-p tests.support.line_probes`.

SlipCover puts a probe at each line and each branch of a module when it is imported. A tracer, which Python calls at
each line of every library too, takes two thirds more processor time on Python 3.11.
"""

import json
import uuid
from pathlib import Path

import pytest
from slipcover import FileMatcher, ImportManager, Slipcover

FOLDER = Path(".coverage-records")
"""Folder with one file for each process that has run tests."""
SOURCES = ("contracts/batchyard_contracts", "shared", "devstack", "services")
_KEEP_PROBES = -1
"""Number of passes after which a probe is removed: none, because that takes longer than to pass it."""

_probes = Slipcover(branch=True, d_miss_threshold=_KEEP_PROBES)
ImportManager(_probes, FileMatcher(sources=SOURCES)).__enter__()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Save the record of this process, unless it only hands out the tests."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        return
    FOLDER.mkdir(exist_ok=True)
    record = json.dumps(_probes.get_coverage()["files"])
    (FOLDER / f"{uuid.uuid4().hex}.json").write_text(record, encoding="utf-8")
