"""File by which `batchyard up` tells other commands where its local cluster runs.

The process of `up` keeps the file locked while it runs. A file without a lock was left behind by a process that was
killed, and says nothing: another program may use its ports by now.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

CLUSTER_FILE = "cluster.json"
"""Name of the file in the home of the local stack. Its owner alone may read it, because it holds passwords."""


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """Local cluster that runs: the address of its HTTP API, and the variables by which a client reaches its servers."""

    url: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    accounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Variables by the name of each account: a service, an owner, `operator` or `topology`."""


def read_cluster(home: Path) -> RunningCluster | None:
    """Return the local cluster that runs in a home; None while none does."""
    try:
        descriptor = os.open(home / CLUSTER_FILE, os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if _lock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB):
            return None
        text = file.read()
    return RunningCluster(**json.loads(text)) if text else None


@contextmanager
def published(home: Path, cluster: RunningCluster) -> Iterator[None]:
    """Publish a running cluster for as long as the context lasts."""
    path = home / CLUSTER_FILE
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for a reader, which holds it for an instant
        file.truncate()
        file.write(json.dumps(asdict(cluster)))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True
