"""A process that may declare no queue waits for a missing one, and says so when it does not come soon."""

from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.topology import work_queue
from shared.messaging import topology

QUEUE = work_queue("later", "normal")


def look_answers(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
    """Let each look for the queue in turn find it or not, without a pause between them."""
    left: Iterator[bool] = iter(answers)

    async def has_queue(*_: object) -> bool:
        return next(left)

    monkeypatch.setattr(topology, "_has_queue", has_queue)
    monkeypatch.setattr(topology, "_LOOK_INTERVAL_S", 0)


async def test_a_queue_that_is_declared_at_once_is_awaited_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    look_answers(monkeypatch, False, True)
    with capture_logs() as logs:
        await topology.prepare(Mock(), "check", "none", [QUEUE])
    assert logs == []


async def test_a_queue_that_does_not_come_is_named_once_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    look_answers(monkeypatch, False, False, True)
    monkeypatch.setattr(topology, "_SILENT_S", 0)
    with capture_logs() as logs:
        await topology.prepare(Mock(), "check", "none", [QUEUE])
    assert [(one["queue"], one["advice"]) for one in logs] == [(QUEUE.name, "run `batchyard topology apply`")]
