"""Shutdown times are nested, so that no process is killed while it finishes its work."""

from devstack.supervisor import GRACE
from services.worker.settings import WorkerSettings
from shared.runtime.process import GRACE_S


def test_drain_grace_and_supervisor_times_are_nested() -> None:
    assert WorkerSettings().drain_timeout_s + 10 < GRACE_S <= GRACE
