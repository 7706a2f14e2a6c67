"""Lets questions pass the limits of the items of their workload: rates, pauses of destinations, circuit breakers.

The dispatcher tells the limits. The start of a question is reserved in Redis like that of an item, so that both
together keep the rate.
"""

import asyncio
import time
from typing import Protocol

from batchyard_contracts.partition import Partitioner
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import LimitsQuery, LimitsReply, QuestionError
from batchyard_contracts.v1.values import WaitReason
from services.worker.limits.destination_backoff import DestinationBackoff
from services.worker.limits.rate_gate import RateGate, RateGates, WaitTooLong
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

_KEPT_S = 1.0
"""Seconds for which the limits of a partition serve all its questions."""
_TIMEOUT_S = 2.0
_MAX_PARTITIONS = 1000


class QuestionRefused(Exception):
    """A question may not be asked at present."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = QuestionError(code=code, message=message, scope="workload")


class Admission(Protocol):
    """Admission of the questions to one workload."""

    async def admit(self, request: object, within_s: float) -> "Pause":
        """Wait until a call may be made; raises `QuestionRefused` if none may be made in time."""


class Pause(Protocol):
    """Way to stop further calls to the destination of an admitted question."""

    async def back_off(self, seconds: float) -> None:
        """Stop calls for some seconds, as the destination asked."""


class QuestionLimits:
    """Limits of one workload. A request belongs to the partition that an item with the same fields would have."""

    def __init__(
        self, manifest: Manifest, gates: RateGates | None, backoff: DestinationBackoff, rpc_client: RpcClient
    ) -> None:
        self._workload, self._partitioner = manifest.name, Partitioner(manifest)
        self._is_limited = manifest.circuit is not None or any(
            limit.rate or limit.rates or limit.adaptive for limit in manifest.all_limits()
        )
        self._gates, self._backoff, self._rpc_client = gates, backoff, rpc_client
        self._known: dict[str, tuple[float, LimitsReply]] = {}

    async def admit(self, request: object, within_s: float) -> Pause:
        """Wait until a call may be made; raises `QuestionRefused` if none may be made within so many seconds."""
        partition = self._partitioner.partition_of(request)
        limits = await self._limits_of(partition)
        if limits.waiting is not None:
            raise _refusal(limits.waiting)
        if self._gates is not None and limits.rates is not None:
            gate = self._gates.gate(partition, limits.rates)
            await self._reserve(gate, within_s)
            return gate
        if (wait_s := self._backoff.remaining_s(partition)) > 0:
            raise _too_long(self._workload, wait_s)
        return _DestinationPause(self._backoff, partition)

    async def _reserve(self, gate: RateGate, within_s: float) -> None:
        clock = asyncio.get_running_loop().time
        try:
            window = await gate.reserve(1)
        except WaitTooLong as error:
            raise _too_long(self._workload, error.delay_s) from error
        wait_s = window.earliest - clock()
        if wait_s > within_s:
            raise _too_long(self._workload, wait_s)
        await asyncio.sleep(max(0.0, wait_s))

    async def _limits_of(self, partition: str) -> LimitsReply:
        if not self._is_limited:
            return LimitsReply()
        asked_at, known = self._known.get(partition, (0.0, None))
        if known is not None and time.monotonic() - asked_at < _KEPT_S:
            return known
        query = LimitsQuery(workload=self._workload, partition=partition)
        try:
            reply = await self._rpc_client.query(query, LimitsReply, timeout_s=_TIMEOUT_S)
        except (QueryTimeout, QueryRefused, PublishFailed) as error:
            what = f"The limits of {self._workload} are not known, because the dispatcher does not answer."
            raise QuestionRefused("limits_unknown", f"{what} Ask again in a moment.") from error
        self._known.pop(partition, None)
        self._known[partition] = (time.monotonic(), reply)
        if len(self._known) > _MAX_PARTITIONS:
            del self._known[next(iter(self._known))]
        return reply


class _DestinationPause:
    """Pause of a destination without a rate, which this worker observes by itself."""

    def __init__(self, backoff: DestinationBackoff, partition: str) -> None:
        self._backoff, self._partition = backoff, partition

    async def back_off(self, seconds: float) -> None:
        """Stop calls of this worker for some seconds."""
        self._backoff.back_off(self._partition, seconds)


def _refusal(reason: WaitReason) -> QuestionRefused:
    until = f" Ask again after {reason.until:%H:%M:%S} UTC." if reason.until else " Ask again later."
    return QuestionRefused(reason.code, reason.detail + until)


def _too_long(workload: str, wait_s: float) -> QuestionRefused:
    message = f"The rate limits of {workload} allow the next call in {wait_s:.1f} s. Ask again then."
    return QuestionRefused("rate_limited", message)
