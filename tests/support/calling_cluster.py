"""The services with the workload `calling`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.cluster import CALLING
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster


@asynccontextmanager
async def calling_cluster(
    servers: Servers, workers: int = 2, operator: str = "", **limits: Any
) -> AsyncIterator[Cluster]:
    """The five services with so many workers, and `calling` under these limits; `operator` has mails."""
    environment = {"PYTHONPATH": str(CALLING), "CALLING": json.dumps(limits), "BATCHYARD_OPERATOR_EMAILS": operator}
    async with running_cluster(servers, environment, workers=workers, known=("noop", "calling")) as cluster:
        yield cluster


def most_within(times: list[float], seconds: float) -> int:
    """The most of these moments that lie within any such time."""
    ordered, most, first = sorted(times), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
