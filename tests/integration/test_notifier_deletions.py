"""The notifier deletes the deliveries of batches that have ended, and a late message creates none again."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import UUID, uuid4

import pytest

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionCompleted, DeletionRequested
from devstack import Servers
from services.notifier.delivery.deletion_handler import DeletionHandler
from services.notifier.delivery.event_handlers import EventHandlers
from services.notifier.domain.backoff_schedule import BackoffSchedule
from services.notifier.persistence.store import DeliveryStore
from services.notifier.settings import NotifierSettings
from shared.messaging.publisher import Publisher
from shared.postgres.pool import Pool, open_pool
from tests.support.finished_batches import requested

ENVELOPE = Envelope(type="", message_id="1")
HOOKS = ["https://a.example/", "https://b.example/"]


class Harness:
    """The notifier's handlers on its tables."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.publisher = pool, AsyncMock()
        self.events = EventHandlers(DeliveryStore(pool), BackoffSchedule((0.0,)), lambda: None)
        self.handler = DeletionHandler(pool, cast("Publisher", self.publisher), 90)

    async def end(self, batch_id: UUID, round_: int = 1) -> None:
        """Have a round of a batch end that has two receivers."""
        await self.events.on_notification_requested(requested(batch_id, webhooks=HOOKS, round=round_), ENVELOPE)

    async def delete(self, batch_id: UUID, kind: Any) -> list[DeletionCompleted]:
        """Delete a kind of what is kept; return the reports."""
        message = DeletionRequested(batch_id=batch_id, owner="o", round=1, kind=kind, at=datetime.now(UTC))
        await self.handler.on_deletion_requested(message, ENVELOPE)
        while await self.handler.deletions.update() is not None:
            pass
        return [DeletionCompleted.decode(call.args[0][0].body) for call in self.publisher.publish.await_args_list]

    async def rows(self, batch_id: UUID) -> list[int]:
        """Return the numbers of deliveries and rounds."""
        return [
            await self.pool.fetchval(f"SELECT count(*) FROM {table} WHERE batch_id = $1", batch_id)
            for table in ("deliveries", "rounds")
        ]


@pytest.fixture
async def harness(clean: Servers) -> AsyncIterator[Harness]:
    settings = NotifierSettings(database_url=clean.database_url)
    pool = await open_pool(settings, "notifier", "services.notifier.persistence")
    yield Harness(pool)
    await pool.close()


async def test_all_deliveries_of_a_deleted_batch_go_and_do_not_come_back(harness: Harness) -> None:
    batch_id, other = uuid4(), uuid4()
    for one in (batch_id, other):
        await harness.end(one)
    await harness.end(batch_id, 2)
    (completed,) = await harness.delete(batch_id, "batch")
    assert (completed.batch_id, completed.service) == (batch_id, "notifier")
    assert completed.deleted == {"deliveries": 4, "rounds": 2}
    await harness.end(batch_id)  # the message is delivered again
    assert (await harness.rows(batch_id), await harness.rows(other)) == ([0, 0], [2, 1])


async def test_a_delivery_that_is_attempted_yet_outlives_the_retention(harness: Harness) -> None:
    batch_id = uuid4()
    for round_ in (1, 2):
        await harness.end(batch_id, round_)
    await harness.pool.execute("UPDATE deliveries SET state = 'delivered' WHERE round = 1 OR address = $1", HOOKS[0])
    assert await harness.delete(batch_id, "deliveries") == []
    left = await harness.pool.fetch("SELECT round, address, state FROM deliveries")
    assert [tuple(row) for row in left] == [(2, HOOKS[1], "pending")]
    assert await harness.rows(batch_id) == [1, 1], "with the event of its round"
    await harness.end(batch_id, 3)
    assert await harness.rows(batch_id) == [3, 2], "a retry has deliveries again"


@pytest.mark.parametrize("kind", ["payloads", "outcomes"])
async def test_a_kind_that_the_notifier_does_not_have_is_left_alone(harness: Harness, kind: Any) -> None:
    batch_id = uuid4()
    await harness.end(batch_id)
    assert await harness.delete(batch_id, kind) == []
    assert await harness.rows(batch_id) == [2, 1]


async def test_ids_of_deleted_batches_and_old_alerts_are_forgotten_in_the_end(harness: Harness) -> None:
    old, new, alerts = uuid4(), uuid4(), [uuid4() for _ in range(3)]
    for one in (old, new):
        await harness.delete(one, "batch")
    for one in (old, *alerts):
        await harness.end(one)
    await harness.pool.execute("UPDATE deleted SET at = now() - interval '91 days' WHERE batch_id = $1", old)
    old_since = "UPDATE rounds SET created_at = now() - interval '91 days' WHERE"
    await harness.pool.execute("UPDATE rounds SET type = 'batch.stuck.v1' WHERE batch_id = ANY ($1)", alerts)
    await harness.pool.execute(f"{old_since} batch_id <> $1", alerts[0])
    await harness.pool.execute("UPDATE deliveries SET state = 'delivered' WHERE batch_id <> $1", alerts[1])
    kept = uuid4()
    await harness.end(kept)
    await harness.pool.execute(f"{old_since} batch_id = $1", kept)
    await harness.handler.forget_old()
    assert [row["batch_id"] for row in await harness.pool.fetch("SELECT batch_id FROM deleted")] == [new]
    assert [await harness.rows(one) for one in alerts] == [[2, 1], [2, 1], [0, 0]], "new, attempted yet, old"
    assert await harness.rows(kept) == [2, 1], "that of a batch goes with the batch"
