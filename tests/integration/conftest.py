"""Rules that every test on real servers checks on the way."""

from collections.abc import Iterator

import pytest

from tests.support.pool_guard import PoolGuard


@pytest.fixture(autouse=True)
def one_connection_for_each_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[PoolGuard]:
    """Fail a test during which a task took a second connection from a pool while it held one."""
    guard = PoolGuard(monkeypatch)
    yield guard
    assert guard.violations == []
