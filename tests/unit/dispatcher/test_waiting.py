"""A batch that waits has the reason that keeps its items back."""

import uuid

import pytest

from batchyard_contracts.v1.manifest import CircuitRule, Manifest
from batchyard_contracts.v1.values import ItemError, Rate, Terms
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue, Pick
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageRange, PageSlice
from services.dispatcher.domain.waiting import Wait, wait_of_batch, wait_of_own_limits, wait_of_partition

NOW = 1000.0
OTHER = uuid.UUID(int=2)


class Case:
    """A batch with one waiting item, whose limits a test tightens."""

    def __init__(self, **manifest: object) -> None:
        described = {
            "name": "w",
            "version": "1",
            "item_schema": {},
            "result_schema": {},
            "partition": {"pointer": "/a"},
        }
        self.window = InFlightWindow(Manifest.model_validate(described | manifest), workers=1)
        self.window.end_backoffs(NOW)
        self.batch = Batch(uuid.UUID(int=1), "ann", "w", "normal")
        self.queue = BatchQueue(self.batch.batch_id, "ann", "normal")
        self.queue.partition_queue("a").slices.append(PageSlice(0, 0, 1))
        self.limits: BatchLimits | None = None

    def dispatch(self, count: int, batch_id: uuid.UUID = OTHER) -> None:
        """Have items of another batch in flight for the same destination."""
        self.window.record_dispatched(Pick(batch_id, "a", "normal", PageRange(0, 0, 0, count)))

    @property
    def code(self) -> str | None:
        """Code of the reason to wait."""
        wait = wait_of_batch(self.batch, self.queue, self.window, self.limits, NOW)
        return wait and wait.code


def test_a_batch_that_is_about_to_run_or_runs_does_not_wait() -> None:
    case = Case()
    assert case.code is None
    case.dispatch(1, case.batch.batch_id)
    case.batch.paused = True
    assert case.code is None, "an item is in flight"


def test_a_pause_and_a_missing_worker_are_reasons() -> None:
    paused, lonely = Case(), Case()
    paused.batch.paused = True
    lonely.window.workers = 0
    assert [paused.code, lonely.code] == ["paused", "no_worker"]
    lonely.batch.cancelled = True
    assert lonely.code is None, "its items are about to end"


def test_the_batch_own_rate_is_a_reason() -> None:
    case = Case()
    case.limits = BatchLimits.of(Terms(rate=Rate(per_second=0.1)), NOW, None, has_started=False)
    assert case.limits is not None
    assert case.code is None
    case.limits.take(1, NOW)
    wait = wait_of_batch(case.batch, case.queue, case.window, case.limits, NOW)
    assert wait is not None
    assert wait.code == "rate_limit"
    assert wait.until == pytest.approx(NOW + 10)


def test_a_rate_that_items_wait_for_is_a_reason_also_when_it_allows_the_next_one() -> None:
    own = BatchLimits.of(Terms(rate=Rate(per_second=10, burst=5)), NOW, None, has_started=False)
    assert own is not None
    assert wait_of_own_limits(own, 0, NOW, 100) is None, "something else keeps the items: the rate allows all at once"
    own.take(4, NOW)
    assert wait_of_own_limits(own, 0, NOW, 1) is None
    wait = wait_of_own_limits(own, 0, NOW, 100)
    assert wait is not None
    assert (wait.code, wait.until) == ("rate_limit", None)
    case = Case(rate=Rate(per_second=10, burst=5))
    assert wait_of_partition(case.window, "a", NOW, 100) is None
    case.dispatch(6)
    assert wait_of_partition(case.window, "a", NOW, 1) is None
    assert wait_of_partition(case.window, "a", NOW, 100) == Wait(
        "rate_limit", "The rate of a allows 10 items in a second."
    )


def test_limits_of_the_destination_are_reasons() -> None:
    paced, full, backing_off, refused = (
        Case(rate=Rate(per_second=1, burst=1)),
        Case(partition_concurrency=2),
        Case(),
        Case(circuit=CircuitRule()),
    )
    for _ in range(3):
        paced.dispatch(1)
    full.dispatch(2)
    backing_off.window.back_off("a", NOW + 60, "429")
    refused.window.record_refusal("a", ItemError(code="captcha", scope="provider"), NOW)
    codes = [case.code for case in (paced, full, backing_off, refused)]
    assert codes == ["rate_limit", "concurrency_limit", "destination_backoff", "circuit_open"]


def test_busy_workers_are_a_reason_and_a_free_destination_is_enough() -> None:
    case = Case(concurrency=1, chunk_max=1)
    case.dispatch(100)
    assert case.code == "workers_busy"
    other = Case()
    other.window.back_off("a", NOW + 60)
    other.queue.partition_queue("b").slices.append(PageSlice(0, 1, 1))
    assert other.code is None


def test_any_number_of_partitions_is_answered_by_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    for number in range(1000):
        case.queue.partition_queue(f"p{number}").slices.append(PageSlice(0, number, 1))
        case.window.back_off(f"p{number}", NOW + 60)
    case.window.back_off("a", NOW + 60)
    asked: list[str] = []
    limiters_of = case.window.limits.limiters_of

    def counted(partition: str) -> tuple[Limiter, ...]:
        asked.append(partition)
        return limiters_of(partition)

    monkeypatch.setattr(case.window.limits, "limiters_of", counted)
    assert case.code == "destination_backoff"
    assert len(asked) <= 50
