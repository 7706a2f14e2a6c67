"""Questions pass the limits of the items of their workload."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from batchyard_contracts.message import Message
from batchyard_contracts.v1.manifest import CircuitRule, Manifest, Partition
from batchyard_contracts.v1.queries import CallResult, LimitsQuery, LimitsReply
from batchyard_contracts.v1.values import ItemError, Rate, WaitReason
from batchyard_contracts.v1.work import ChunkRates, SharedRate
from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.limits.destination_backoff import DestinationBackoff
from services.worker.limits.rate_gate import RateGates
from services.worker.questions.limits import QuestionLimits, QuestionRefused
from shared.messaging.rpc_client import RpcClient
from shared.redis.rate_reservations import RateReservations, ReservedStarts
from shared.runtime.errors import QueryTimeout
from tests.support.patience import until_true

RATES = ChunkRates(keys=[SharedRate(key="partition:a", per_second=2.0)])
OPEN = WaitReason(code="circuit_open", detail="a refuses every call.", until=datetime(2026, 1, 1, 10, tzinfo=UTC))


class Desk:
    """A worker with a dispatcher and a Redis that answer as a test sets."""

    def __init__(self, reply: LimitsReply | None = None, **manifest: Any) -> None:
        described = {"name": "w", "version": "1", "item_schema": {}, "result_schema": {}}
        given = described | {"partition": Partition(pointer="/a"), "rate": Rate(per_second=2)} | manifest
        self.reply, self.asked = reply, list[str]()
        self.ended: list[LimitsQuery] = []
        self.starts = [ReservedStarts(0.0, 1)]
        self.reserved: list[tuple[list[str], int]] = []
        self.pauses: list[tuple[str, float]] = []
        self.backoff = DestinationBackoff()
        gates = RateGates("w", cast("RateReservations", self))
        self.limits = QuestionLimits(Manifest.model_validate(given), gates, self.backoff, cast("RpcClient", self))

    async def query(self, message: Message, _: object, *, timeout_s: float) -> LimitsReply:
        assert isinstance(message, LimitsQuery)
        if message.ended is not None:
            self.ended.append(message)
            return LimitsReply()
        self.asked.append(message.partition)
        if self.reply is None:
            raise QueryTimeout
        return self.reply

    async def reserve(self, rates: Sequence[Any], wanted: int, *, prefetch: bool = False) -> list[ReservedStarts]:
        self.reserved.append(([rate.key for rate in rates], wanted))
        return self.starts

    async def back_off(self, key: str, seconds: float) -> None:
        self.pauses.append((key, seconds))


async def refusal(desk: Desk, within_s: float = 5.0) -> tuple[str, str]:
    with pytest.raises(QuestionRefused) as raised:
        await desk.limits.admit({"a": "a"}, within_s)
    assert raised.value.error.scope == "workload"
    return raised.value.error.code, raised.value.error.message


async def test_a_question_takes_a_start_of_its_partition() -> None:
    desk = Desk(LimitsReply(rates=RATES))
    call = await desk.limits.admit({"a": "a", "b": 1}, 5.0)
    await desk.limits.admit({"a": "a"}, 5.0)
    assert desk.asked == ["a"], "an answer serves for a moment"
    assert desk.reserved == [(["pace:{w}:partition:a"], 1)] * 2
    await call.end(None)
    assert desk.ended == [], "nobody has to know"
    await call.end(RateLimited(3.0, "slow down"))
    assert desk.pauses == [("pace:{w}:partition:a", 3.0)]
    assert [(query.partition, query.call_id, query.ended) for query in desk.ended] == [
        (
            "a",
            None,
            CallResult(error=ItemError(code="rate_limited", message="slow down", scope="provider"), delay_s=3.0),
        )
    ]


async def test_an_open_circuit_refuses_a_question_at_once() -> None:
    code, message = await refusal(Desk(LimitsReply(waiting=OPEN), rate=None, circuit=CircuitRule()))
    assert code == "circuit_open"
    assert message == "a refuses every call. Ask again after 10:00:00 UTC."


@pytest.mark.parametrize("starts", [[ReservedStarts(-30.0, 0)], [ReservedStarts(4.0, 1)]])
async def test_a_start_that_comes_too_late_refuses_a_question(starts: list[ReservedStarts]) -> None:
    desk = Desk(LimitsReply(rates=RATES))
    desk.starts = starts
    code, message = await refusal(desk, within_s=2.0)
    assert code == "rate_limited"
    assert f"in {abs(starts[0].in_s):.1f} s" in message


async def test_a_question_waits_for_its_start() -> None:
    desk = Desk(LimitsReply(rates=RATES))
    desk.starts = [ReservedStarts(0.05, 1)]
    clock = asyncio.get_running_loop().time
    began = clock()
    await desk.limits.admit({"a": "a"}, 5.0)
    assert clock() - began >= 0.05


async def test_without_a_rate_the_pause_of_a_destination_is_kept_by_the_worker() -> None:
    desk = Desk(rate=None)  # nothing limits this workload, and the dispatcher does not answer
    call = await desk.limits.admit({"a": "a"}, 5.0)
    await call.end(RateLimited(60.0))
    assert (await refusal(desk))[0] == "rate_limited"
    await desk.limits.admit({"a": "b"}, 5.0)


async def test_without_the_dispatcher_a_limited_workload_is_not_asked() -> None:
    assert (await refusal(Desk()))[0] == "limits_unknown"


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (Permanent("http_401", "bad key", scope="provider"), True),
        (Transient("captcha", scope="provider"), True),
        (Transient("unreachable"), False),
        (RateLimited(), False),
        (None, False),
    ],
)
async def test_an_error_of_the_provider_is_told_to_the_dispatcher_and_to_the_items_here(
    error: WorkloadError | None, opens: bool
) -> None:
    desk = Desk(LimitsReply(), rate=None, circuit=CircuitRule())
    await (await desk.limits.admit({"a": "a"}, 5.0)).end(error)
    assert [query.ended.error for query in desk.ended if query.ended] == (
        [ItemError(code=error.code, message=error.message, scope="provider")] if error and opens else []
    )
    assert (desk.backoff.refusal_since("a", 0.1) is not None) is opens
    await desk.limits.admit({"a": "a"}, 5.0)
    assert len(desk.asked) == 1 + opens, "the limits are asked for anew"


async def test_a_question_waits_for_its_place_and_gives_it_back() -> None:
    full = WaitReason(code="concurrency_limit", detail="a is full.")
    desk = Desk(LimitsReply(waiting=full), rate=None, partition_concurrency=1)
    asking = asyncio.create_task(desk.limits.admit({"a": "a"}, 5.0))
    await until_true(lambda: len(desk.asked) >= 3)
    desk.reply = LimitsReply()
    call = await asking
    assert desk.ended == []
    await call.end(None)
    assert [query.ended for query in desk.ended] == [CallResult()]


async def test_a_question_that_gets_no_place_in_time_is_refused_and_wants_none_any_more() -> None:
    full = WaitReason(code="concurrency_limit", detail="a is full.")
    desk = Desk(LimitsReply(waiting=full), rate=None, partition_concurrency=1)
    assert (await refusal(desk, within_s=0.3))[0] == "concurrency_limit"
    assert len(desk.asked) > 1
    assert [query.ended for query in desk.ended] == [CallResult()]


async def test_a_question_whose_time_is_over_wants_no_place_any_more() -> None:
    full = WaitReason(code="concurrency_limit", detail="a is full.")
    desk = Desk(LimitsReply(waiting=full), rate=None, partition_concurrency=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await desk.limits.admit({"a": "a"}, 60.0)
    assert [query.ended for query in desk.ended] == [CallResult()]


async def test_a_rate_of_an_operator_holds_for_a_workload_without_limits() -> None:
    desk = Desk(LimitsReply(rates=RATES), rate=None)
    await desk.limits.admit({"a": "a"}, 5.0)
    assert desk.reserved == [(["pace:{w}:partition:a"], 1)]


async def test_a_concurrency_of_an_operator_holds_for_a_workload_without_limits() -> None:
    desk = Desk(LimitsReply(takes_places=True), rate=None)
    call = await desk.limits.admit({"a": "a"}, 5.0)
    assert desk.asked == ["a", "a"], "the second time for a place"
    await call.end(None)
    assert [query.ended for query in desk.ended if query.call_id] == [CallResult()]
