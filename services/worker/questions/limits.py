"""Lets questions pass the limits of the items of their workload: rates, concurrency, pauses and circuit breakers.

The dispatcher tells the limits, those of operators too, and gives a question its place among the concurrent calls. The
start of a question is reserved in Redis like that of an item, so that both together keep the rate. The error of a
question pauses a destination, or opens its circuit, for items too.
"""

import asyncio
import time
from typing import Literal, Protocol
from uuid import UUID, uuid4

import structlog

from batchyard_contracts.partition import Partitioner, has_circuit
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import CallResult, LimitsQuery, LimitsReply, QuestionError
from batchyard_contracts.v1.values import MAX_SECONDS, ItemError, WaitReason
from batchyard_contracts.workload import RateLimited, WorkloadError
from services.worker.domain.outcome import writable
from services.worker.limits.destination_backoff import DestinationBackoff
from services.worker.limits.rate_gate import RateGate, RateGates, WaitTooLong
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

log = structlog.get_logger()
_KEPT_S = 1.0
"""Seconds for which the limits of a partition serve all its questions."""
_TIMEOUT_S = 2.0
_MAX_PARTITIONS = 1000
_ASK_AGAIN_S = 0.1
"""Seconds between two requests of a question for a place."""
_SPARE_S = 10.0
"""Seconds beyond the time limit of a question after which its place is free in any case."""


class QuestionRefused(Exception):
    """A question may not be asked at present."""

    def __init__(self, code: str, message: str, scope: Literal["request", "workload"] = "workload") -> None:
        super().__init__(message)
        self.error = QuestionError(code=code, message=message, scope=scope)


class Admission(Protocol):
    """Admission of the questions to one workload."""

    async def admit(self, request: object, within_s: float) -> "AdmittedCall":
        """Wait until a call may be made; raises `QuestionRefused` if none may be made in time."""


class AdmittedCall(Protocol):
    """A call that may be made, and has to be ended."""

    async def end(self, error: WorkloadError | None) -> None:
        """End the call; its error may concern other calls to the same destination."""


class QuestionLimits:
    """Limits of one workload. A request belongs to the partition that an item with the same fields would have."""

    def __init__(
        self, manifest: Manifest, gates: RateGates | None, backoff: DestinationBackoff, rpc_client: RpcClient
    ) -> None:
        self._manifest, self._workload, self._partitioner = manifest, manifest.name, Partitioner(manifest)
        limits = manifest.all_limits()
        self._takes_places = any(limit.concurrency is not None for limit in limits)
        self._is_limited = (
            self._takes_places
            or manifest.circuit is not None
            or any(limit.rate or limit.rates or limit.adaptive for limit in limits)
        )
        """True if the manifest has a limit. Without one, calls are made also while the dispatcher does not answer."""
        self._gates, self._backoff, self._rpc_client = gates, backoff, rpc_client
        self._known: dict[str, tuple[float, LimitsReply]] = {}

    async def admit(self, request: object, within_s: float) -> AdmittedCall:
        """Wait until a call may be made; raises `QuestionRefused` if none may be made within so many seconds."""
        partition = self._partitioner.partition_of(request)
        call = _Call(self, partition, uuid4() if self._takes_places else None)
        clock = asyncio.get_running_loop().time
        deadline = clock() + within_s
        try:
            limits = await self._limits_of(call, within_s)
            if limits.takes_places and call.call_id is None:  # by the word of an operator
                call.call_id = uuid4()
                limits = await self._limits_of(call, within_s)
            while limits.waiting is not None:
                if limits.waiting.code != "concurrency_limit" or clock() + _ASK_AGAIN_S >= deadline:
                    raise _refusal(limits.waiting)
                await asyncio.sleep(_ASK_AGAIN_S)
                limits = await self._limits_of(call, within_s)
            if self._gates is not None and limits.rates is not None:
                call.gate = self._gates.gate(partition, limits.rates)
                await self._reserve(call.gate, deadline - clock())
            elif (wait_s := self._backoff.remaining_s(partition)) > 0:
                raise _too_long(self._workload, wait_s)
        except BaseException:  # also the time limit of the question
            await call.end(None)
            raise
        return call

    async def end(self, call: "_Call", error: WorkloadError | None) -> None:
        """Apply the error of a call to the next ones, of questions and items, and free its place."""
        ended = self._result(call.partition, error)
        if ended.delay_s is not None and call.gate is not None:
            await call.gate.back_off(ended.delay_s)
        elif ended.delay_s is not None:
            self._backoff.back_off(call.partition, ended.delay_s)
        elif ended.error is not None:
            self._backoff.record_refusal(call.partition, ended.error)
        if call.call_id is None and ended.error is None:
            return
        self._known.pop(call.partition, None)
        query = LimitsQuery(workload=self._workload, partition=call.partition, call_id=call.call_id, ended=ended)
        try:
            await self._rpc_client.query(query, LimitsReply, timeout_s=_TIMEOUT_S)
        except (QueryTimeout, QueryRefused, PublishFailed) as failure:
            log.warning("end of a question not reported", workload=self._workload, error=str(failure)[:300])

    def _result(self, partition: str, error: WorkloadError | None) -> CallResult:
        """Return the error of a call if it concerns others: a requested pause, or a refusal that opens a circuit."""
        delay_s = error.delay_s if isinstance(error, RateLimited) else None
        asks_for_pause = delay_s is not None and delay_s > 0
        is_refusal = error is not None and error.scope == "provider" and not isinstance(error, RateLimited)
        if error is None or not (asks_for_pause or (is_refusal and has_circuit(self._manifest, partition))):
            return CallResult()
        item_error = ItemError(code=error.code, message=writable(error.message)[:2000], scope=error.scope)
        return CallResult(error=item_error, delay_s=min(delay_s, MAX_SECONDS) if delay_s else None)

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

    async def _limits_of(self, call: "_Call", within_s: float) -> LimitsReply:
        """Return the limits of a call. A call that needs no place may use those that were told a moment ago."""
        asked_at, known = self._known.get(call.partition, (0.0, None))
        if call.call_id is None and known is not None and time.monotonic() - asked_at < _KEPT_S:
            return known
        query = LimitsQuery(
            workload=self._workload, partition=call.partition, call_id=call.call_id, seconds=within_s + _SPARE_S
        )
        try:
            reply = await self._rpc_client.query(query, LimitsReply, timeout_s=_TIMEOUT_S)
        except (QueryTimeout, QueryRefused, PublishFailed) as error:
            if self._is_limited:
                what = f"The limits of {self._workload} are not known, because the dispatcher does not answer."
                raise QuestionRefused("limits_unknown", f"{what} Ask again in a moment.") from error
            reply = LimitsReply()  # kept as if it were the answer, lest each question waits
        self._known.pop(call.partition, None)
        self._known[call.partition] = (time.monotonic(), reply)
        if len(self._known) > _MAX_PARTITIONS:
            del self._known[next(iter(self._known))]
        return reply


class _Call:
    """A call to one destination; `call_id` is None where concurrency is not limited, as far as is known."""

    def __init__(self, limits: QuestionLimits, partition: str, call_id: UUID | None) -> None:
        self._limits = limits
        self.partition, self.call_id = partition, call_id
        self.gate: RateGate | None = None
        """Gate through which the call went; None without a rate."""

    async def end(self, error: WorkloadError | None) -> None:
        """End the call."""
        await self._limits.end(self, error)


def _refusal(reason: WaitReason) -> QuestionRefused:
    until = f" Ask again after {reason.until:%H:%M:%S} UTC." if reason.until else " Ask again later."
    return QuestionRefused(reason.code, reason.detail + until)


def _too_long(workload: str, wait_s: float) -> QuestionRefused:
    message = f"The rate limits of {workload} allow the next call in {wait_s:.1f} s. Ask again then."
    return QuestionRefused("rate_limited", message)
