"""Explains why batches and workloads wait, by asking the dispatcher."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.queries import BatchState, WaitingQuery, WorkloadCapacity
from batchyard_contracts.v1.values import WaitReason
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient

DISPATCHER_AWAY = WaitReason(
    code="dispatcher_away", detail="The dispatcher does not answer. No item is dispatched until it does."
)
_TIMEOUT_S = 1.0
_KEPT_S = 2.0
"""Seconds for which an answer about the workloads serves all submissions."""
_KEPT_AFTER_FAILURE_S = 10.0
_OWNER = "default"
"""Owner in a query that names no batch."""


class WaitingReasons:
    """Reasons to wait. A dispatcher that does not answer delays a request by at most a second."""

    def __init__(self, aggregator: AggregatorClient) -> None:
        self._aggregator = aggregator
        self._capacities: Mapping[str, WorkloadCapacity] = {}
        self._asked_at = 0.0
        self._kept_s = 0.0
        self._asking = asyncio.Lock()

    async def explain_all(self, states: Sequence[BatchState]) -> list[BatchState]:
        """Return the states of batches of several owners with their reasons, in the same order."""
        by_owner: dict[str, list[BatchState]] = defaultdict(list)
        for state in states:
            by_owner[state.owner].append(state)
        explained = await asyncio.gather(*(self.explain(owner, found) for owner, found in by_owner.items()))
        known = {state.batch_id: state for found in explained for state in found}
        return [known[state.batch_id] for state in states]

    async def explain(self, owner: str, states: Sequence[BatchState]) -> list[BatchState]:
        """Return the states of an owner's batches with the reasons for which the unfinished ones wait."""
        asked = [state.batch_id for state in states if state.status != "finished" and state.waiting is None]
        if not asked:
            return list(states)
        try:
            reply = await self._aggregator.waiting(WaitingQuery(owner=owner, batch_ids=asked), _TIMEOUT_S)
        except IngestError:
            reasons = dict.fromkeys(asked, DISPATCHER_AWAY)
        else:
            reasons = {batch.batch_id: batch.reason for batch in reply.batches}
        return [
            state.model_copy(update={"waiting": reason}) if (reason := reasons.get(state.batch_id)) else state
            for state in states
        ]

    async def add_note(self, accepted: CommandAccepted) -> CommandAccepted:
        """Return the reply to a submission with the reason for which no item of its workload runs at present."""
        capacity = (await self.capacities()).get(accepted.workload)
        return accepted.model_copy(update={"waiting": capacity.waiting}) if capacity and capacity.waiting else accepted

    async def capacities(self) -> Mapping[str, WorkloadCapacity]:
        """Return the workers of each workload as they were at most two seconds ago; empty if they are not known."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= self._kept_s:
                try:
                    reply = await self._aggregator.waiting(WaitingQuery(owner=_OWNER), _TIMEOUT_S)
                except IngestError:
                    self._capacities, self._kept_s = {}, _KEPT_AFTER_FAILURE_S
                else:
                    self._capacities = {each.workload: each for each in reply.workloads}
                    self._kept_s = _KEPT_S
                self._asked_at = time.monotonic()
            return self._capacities
