"""The part of the client for schedules."""

from collections.abc import AsyncIterator
from typing import Literal

from batchyard_contracts.client.requesting import SendCommand, SendQuery, expect, pages
from batchyard_contracts.v1.queries import (
    MAX_SCHEDULES,
    ScheduleRun,
    ScheduleRunsQuery,
    ScheduleRunsReply,
    SchedulesQuery,
    SchedulesReply,
    ScheduleState,
)
from batchyard_contracts.v1.schedules import ScheduleAccepted, ScheduleControl, ScheduleName, ScheduleSave


class ScheduleClient:
    """Schedules of the owner. All methods raise the errors of `Client.send`, or those of `Client.query`."""

    def __init__(self, owner: str, query: SendQuery, send: SendCommand) -> None:
        self._owner, self._query, self._send = owner, query, send

    async def list(self, prefix: str = "") -> AsyncIterator[ScheduleState]:
        """Yield the schedules by name; only names that begin with `prefix`."""
        query = SchedulesQuery(owner=self._owner, prefix=prefix, limit=MAX_SCHEDULES)
        async for reply in pages(self._query, query, SchedulesReply, "after"):
            for schedule in reply.schedules:
                yield schedule

    async def get(self, name: ScheduleName) -> ScheduleState | None:
        """A schedule; None if there is none."""
        reply = await self._query(SchedulesQuery(owner=self._owner, name=name), SchedulesReply)
        return reply.schedules[0] if reply.schedules else None

    async def runs(self, name: ScheduleName) -> AsyncIterator[ScheduleRun]:
        """Yield the runs of a schedule, the latest first; none if there is no such schedule."""
        query = ScheduleRunsQuery(owner=self._owner, name=name, limit=MAX_SCHEDULES)
        async for reply in pages(self._query, query, ScheduleRunsReply, "before"):
            for run in reply.runs:
                yield run

    async def save(self, command: ScheduleSave) -> ScheduleAccepted:
        """Create a schedule, or replace it."""
        return expect(await self._send(command), ScheduleAccepted)

    async def control(
        self, name: ScheduleName, action: Literal["pause", "resume", "run", "delete"], note: str = ""
    ) -> ScheduleAccepted:
        """Pause, resume or delete a schedule, or start a run of it."""
        return expect(await self._send(ScheduleControl(name=name, action=action, note=note)), ScheduleAccepted)
