"""Shows and changes the limits of owners."""

from collections.abc import Callable, Mapping

import structlog

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import OwnerWeighted
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.volume import Volume
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.limit_store import Changes, LimitStore
from shared.postgres.outbox import Outbox, OutboxMessage

log = structlog.get_logger()
MAX_OWNERS = 10_000
_TOO_MANY = Rejection(
    "too_many_limits",
    f"{MAX_OWNERS} owners have limits of their own, which is the limit. Clear those that are not needed.",
    409,
)


class LimitManager:
    """Operations on the limits of owners."""

    def __init__(
        self, store: LimitStore, keeper: LimitKeeper, outbox: Outbox, waiting: Callable[[str], Volume]
    ) -> None:
        self._store, self._keeper, self._outbox, self._waiting = store, keeper, outbox, waiting

    def limits(self, owner: str) -> tuple[OwnerLimits, Changes, dict[str, int]]:
        """Return the limits of an owner, those of them that were set, and the use at present."""
        waiting = self._waiting(owner)
        use = {"waiting_items": max(0, waiting.items), "waiting_bytes": max(0, waiting.size)}
        return self._keeper.limits(owner), self._keeper.changes().get(owner, {}), use | self._keeper.use(owner)

    def owners(self) -> list[str]:
        """Return the owners for whom limits were set."""
        return sorted(self._keeper.changes())

    async def change(self, owner: str, changes: Mapping[str, object]) -> None:
        """Set some limits of an owner; None takes one back. Raises `IngestError`."""
        async with self._store.change(owner) as change:
            before = await change.limits()
            after = {name: value for name, value in {**before, **changes}.items() if value is not None}
            if after and not before and await change.count_owners() >= MAX_OWNERS:
                raise IngestError(_TOO_MANY)
            await change.set(after)
            await record_in(change.connection, "limits.set", owner, owner, before=before, after=after)
            messages: list[OutboxMessage] = []
            if before.get("weight") != after.get("weight"):
                message = OwnerWeighted(
                    owner=owner, weight=after.get("weight"), number=await change.next_weight_number()
                )
                messages = await change.add_messages([OutboxMessage.of(FLOW, message)])
        log.info("limits changed", owner=owner, limits=after)
        await self._outbox.deliver(messages)
        await self._keeper.refresh()
