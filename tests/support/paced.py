"""The services with the workload `calling`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.yard import CALLING
from devstack import Servers
from tests.support.yard import Yard, running_yard


@asynccontextmanager
async def paced_yard(servers: Servers, workers: int = 2, operator: str = "", **limits: Any) -> AsyncIterator[Yard]:
    """The five services with so many workers, and `calling` under these limits; `operator` has mails."""
    environment = {"PYTHONPATH": str(CALLING), "CALLING": json.dumps(limits), "BATCHYARD_OPERATOR_EMAILS": operator}
    async with running_yard(servers, environment, workers=workers, known=("noop", "calling")) as yard:
        yield yard


def most_within(times: list[float], seconds: float) -> int:
    """The most of these moments that lie within any such time."""
    ordered, most, first = sorted(times), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
