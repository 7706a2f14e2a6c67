"""Leases change in the lease table only, and memory takes over the saved values."""

import ast
from pathlib import Path
from typing import Any
from uuid import UUID

from services import dispatcher
from services.dispatcher.domain.lease import Lease, LeaseTable
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

CHUNK = UUID(int=2)
FIELDS = {"fence", "seen_at", "sent_at", "holder", "reported", "started", "failures", "losses", "resent", "quarantined"}


def lease(**fields: Any) -> Lease:
    known: dict[str, Any] = {"source": PageRange(0, 0, 0, 4), "seen_at": 1.0, "sent_at": 1.0, "fence": 3, "attempt": 1}
    return Lease(
        CHUNK, batch_id=UUID(int=1), workload="w", priority="normal", partition="", round=1, **(known | fields)
    )


def test_only_the_lease_table_changes_a_lease() -> None:
    found = [
        f"{file.name}:{node.lineno} {node.attr}"
        for file in Path(dispatcher.__path__[0]).rglob("*.py")
        if file.name != "lease.py"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in FIELDS
        if isinstance(node.value, ast.Name) and node.value.id != "self"
    ]
    assert found == []


def test_redispatched_chunk_takes_over_the_saved_values() -> None:
    table, mine = LeaseTable(), lease(holder="one", losses=1)
    table.add(mine)
    table.bump_fence(mine, lease(fence=4, losses=2, quarantined=True), 9.0)
    assert (mine.fence, mine.losses, mine.quarantined, mine.holder, mine.seen_at) == (4, 2, True, None, 9.0)
    assert (table.is_current(mine, 4), table.is_current(mine, 3)) == (True, False)


def test_chunk_ends_only_once() -> None:
    table, mine = LeaseTable(), lease(source=RetryRange(2, (1, 2)))
    table.add(mine)
    assert (table.get(CHUNK), len(table), list(table.values())) == (mine, 1, [mine])
    assert [table.remove(mine), table.remove(mine)] == [True, False]
    assert (dict(table), table.get(CHUNK), table.is_current(mine, 3)) == ({}, None, False)


def test_seen_time_follows_sending_and_is_cleared_for_an_overdue_chunk() -> None:
    table, mine = LeaseTable(), lease(seen_at=50.0)
    table.record_sent([mine], 20.0)
    assert (mine.sent_at, mine.seen_at) == (20.0, 50.0), "one whose queue takes nothing is not lost before its time"
    table.mark_overdue(mine)
    assert mine.seen_at < 0
    table.mark_started(mine, "one", [1])
    table.record_reported(mine, [1, 2])
    assert (mine.holder, mine.unreported_started, mine.reported) == ("one", set(), {1, 2})
