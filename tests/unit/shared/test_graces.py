"""Times to stop that lie within one another, so that nobody is killed while it still finishes something."""

from devstack.supervisor import GRACE
from services.worker.settings import WorkerSettings
from shared.runtime.process import GRACE_S


def test_a_worker_drains_within_its_grace_and_that_is_what_its_supervisor_gives() -> None:
    assert WorkerSettings().drain_timeout_s + 10 < GRACE_S <= GRACE
