"""Lost chunks are sent again, then halved; an item fails only if it was alone, and none that must not runs twice."""

from collections import deque
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.lost_chunk_policy import (
    Defer,
    Fail,
    Forget,
    Halve,
    Keep,
    LossAction,
    LossDecision,
    LossReason,
    Redispatch,
    Resend,
    Settle,
    decide_loss,
    halves,
)
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

BATCH, CHUNK = UUID(int=1), UUID(int=2)
MAX_LOSSES = 3
REASONS: list[LossReason] = ["stopping", "redelivered", "expired", "never_sent"]


def leased(count: int = 4, **fields: Any) -> Lease:
    """Return the lease of a chunk with the ordinals 10, 11 ..."""
    known: dict[str, Any] = {"fence": 5, "source": PageRange(3, 1, 7, count), "ordinals": range(10, 10 + count)}
    known |= {"seen_at": 1.0, "sent_at": 2.0, "round": 1, "attempt": 1, "failures": 6}
    return Lease(CHUNK, batch_id=BATCH, workload="w", priority="low", partition="p", **(known | fields))


def running(**fields: Any) -> Batch:
    return Batch(BATCH, "ann", "w", "normal", **fields)


def decision(
    lease: Lease,
    reason: LossReason = "expired",
    batch: Batch | None = None,
    *,
    isolates: bool = False,
    max_losses: int = MAX_LOSSES,
) -> LossDecision:
    """Decide on a chunk of a running batch, if no other is given."""
    return decide_loss(
        lease, batch or running(), reason, lease.ordinals or (), isolates=isolates, max_losses=max_losses
    )


def redispatched(found: LossDecision) -> Lease:
    assert isinstance(found.action, Redispatch)
    return found.action.lease


# the batch


@pytest.mark.parametrize("reason", REASONS)
def test_chunk_whose_round_is_over_is_forgotten(reason: LossReason) -> None:
    lease = leased(started={10})
    found = decide_loss(lease, None, reason, range(10, 14), isolates=True, max_losses=MAX_LOSSES)
    assert found == LossDecision(Forget())


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize(
    ("batch", "status"),
    [(running(cancelled=True, paused=True), "cancelled"), (running(stop_reason="deadline"), "expired")],
)
def test_chunk_of_a_stopped_batch_ends_with_it(reason: LossReason, batch: Batch, status: Any) -> None:
    assert decision(leased(started={10}, losses=2), reason, batch) == LossDecision(Settle(status))


@pytest.mark.parametrize(
    ("reason", "deferred"), [("stopping", False), ("redelivered", True), ("expired", True), ("never_sent", True)]
)
def test_lost_chunk_of_a_paused_batch_waits_but_a_returned_one_is_sent(reason: LossReason, deferred: bool) -> None:
    action = decision(leased(), reason, running(paused=True)).action
    assert isinstance(action, Defer if deferred else Redispatch)


# chunks that come back


@pytest.mark.parametrize("losses", [0, 2, 9])
@pytest.mark.parametrize("quarantined", [False, True])
def test_chunk_of_a_stopping_worker_is_sent_as_it_was(losses: int, quarantined: bool) -> None:
    lease = leased(1, losses=losses, quarantined=quarantined, holder="one")
    sent = redispatched(decision(lease, "stopping", isolates=True))
    assert (sent.fence, sent.losses, sent.quarantined, sent.holder) == (6, losses, quarantined, None)


@pytest.mark.parametrize("reason", ["stopping", "expired", "never_sent"])
def test_started_items_need_review_before_the_rest_is_sent(reason: LossReason) -> None:
    found = decision(leased(reported={10}, started={10, 12}, holder="one"), reason)
    assert found.needs_review == {12}
    assert redispatched(found).reported == {10, 12}


@pytest.mark.parametrize("reason", ["stopping", "expired"])
def test_chunk_of_which_nothing_is_left_after_the_review_fails_no_other_item(reason: LossReason) -> None:
    found = decision(leased(2, reported={10}, started={11}, losses=9), reason)
    assert found.needs_review == {11}
    assert redispatched(found).reported == {10, 11}, "it is sent without items, and so ends"


def test_redelivered_chunk_stays_while_its_worker_may_run_started_items() -> None:
    assert decision(leased(started={12}), "redelivered") == LossDecision(Keep())
    assert redispatched(decision(leased(started={12}, reported={12}), "redelivered")).fence == 6


def test_redelivered_chunk_stays_if_the_loss_would_fail_or_halve_it() -> None:
    for count in (1, 4):
        assert decision(leased(count, losses=1), "redelivered").action != Keep()
        assert decision(leased(count, losses=2), "redelivered").action == Keep()
    assert decision(leased(1, losses=2), "redelivered", running(paused=True)).action == Keep()


def test_redelivered_chunk_goes_to_quarantine_before_a_worker_has_said_that_it_takes_it() -> None:
    sent = redispatched(decision(leased(losses=1), "redelivered", isolates=False))
    assert (sent.fence, sent.losses, sent.quarantined) == (6, 2, True)


# chunks that no worker has


@pytest.mark.parametrize("isolates", [False, True])
@pytest.mark.parametrize("quarantined", [False, True])
def test_lost_chunk_goes_to_quarantine_only_if_a_worker_takes_it(isolates: bool, quarantined: bool) -> None:
    sent = redispatched(decision(leased(quarantined=quarantined), isolates=isolates))
    assert (sent.fence, sent.losses, sent.quarantined) == (6, 1, isolates)


def test_chunk_is_halved_at_the_maximum_and_a_single_item_fails() -> None:
    kinds = [[type(decision(leased(count, losses=n)).action) for n in range(4)] for count in (1, 4)]
    assert kinds == [[Redispatch, Redispatch, Fail, Fail], [Redispatch, Redispatch, Halve, Halve]]
    assert isinstance(decision(leased(1), max_losses=1).action, Fail)
    assert isinstance(decision(leased(2), max_losses=1).action, Halve)


def test_failed_item_says_how_often_its_worker_was_lost() -> None:
    action = decision(leased(3, losses=4, reported={10, 12})).action
    assert isinstance(action, Fail)
    assert (action.error.code, "5 times" in action.error.message) == ("worker_lost", True)


def test_chunk_that_was_never_sent_is_resent_once_without_a_loss() -> None:
    assert decision(leased(losses=2), "never_sent") == LossDecision(Resend())
    assert decision(leased(losses=2, started={10}, reported={10}), "never_sent") == LossDecision(Resend())
    for known in ({"resent": True}, {"holder": "one"}):
        assert decision(leased(**known), "never_sent") == decision(leased(**known), "expired")
        assert redispatched(decision(leased(**known), "never_sent")).losses == 1


@pytest.mark.parametrize("reason", ["redelivered", "expired"])
def test_lost_chunk_without_unreported_items_fails_nothing(reason: LossReason) -> None:
    sent = redispatched(decision(leased(1, reported={10}, losses=8), reason))
    assert (sent.losses, sent.reported) == (9, {10})


# halves


@given(st.integers(2, 300).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 2))))
def test_halves_contain_each_item_once_in_equal_parts(case: tuple[int, set[int]]) -> None:
    size, reported = case
    ordinals = tuple(range(100, 100 + size))
    reported_ordinals = {100 + n for n in reported}
    first, second = halves(RetryRange(2, ordinals), ordinals, reported_ordinals)
    assert isinstance(first, RetryRange)
    assert isinstance(second, RetryRange)
    assert first.ordinals + second.ordinals == ordinals
    left = [len(set(half.ordinals) - reported_ordinals) for half in (first, second)]
    assert max(left) - min(left) <= 1
    assert min(left) > 0
    assert halves(PageRange(3, 1, 7, size), ordinals, reported_ordinals) == (
        PageRange(3, 1, 7, first.count),
        PageRange(3, 1, 7 + first.count, second.count),
    )


@pytest.mark.parametrize("isolates", [False, True])
def test_halves_share_the_reported_items_and_start_anew(isolates: bool) -> None:
    lease = leased(losses=2, reported={11}, started={12}, holder="one", resent=True, quarantined=not isolates)
    found = decision(lease, isolates=isolates)
    assert isinstance(found.action, Halve)
    assert found.needs_review == {12}
    first, second = found.action.parts
    assert (first.source, first.ordinals, first.reported) == (PageRange(3, 1, 7, 3), (10, 11, 12), {11, 12})
    assert (second.source, second.ordinals, second.reported) == (PageRange(3, 1, 10, 1), (13,), set())
    assert len({CHUNK, first.chunk_id, second.chunk_id}) == 3
    for part in (first, second):
        assert (part.fence, part.losses, part.quarantined) == (1, 1, isolates)
        assert (part.resent, part.holder, part.started) == (False, None, set())
        assert (part.priority, part.partition, part.failures, part.sent_at) == ("low", "p", 6, 2.0)


def test_half_with_a_single_item_may_be_lost_once_more_than_a_larger_one() -> None:
    action = decision(leased(3, losses=2)).action
    assert isinstance(action, Halve)
    assert [(len(part.ordinals or ()), part.losses) for part in action.parts] == [(1, 1), (2, 2)]


# all of it


@given(
    reason=st.sampled_from(REASONS), losses=st.integers(0, 5), count=st.integers(0, 5), isolates=st.booleans(),
    reported=st.sets(st.integers(10, 14)), started=st.sets(st.integers(10, 14)), paused=st.booleans(),
    resent=st.booleans(),
)  # fmt: skip
def test_repeated_decision_on_an_unchanged_lease_is_the_same(
    reason: LossReason, losses: int, count: int, isolates: bool, reported: set[int], started: set[int], paused: bool,
    resent: bool,
) -> None:  # fmt: skip
    lease = leased(count, losses=losses, reported=reported, started=started, resent=resent)
    before = replace(lease, reported=set(reported), started=set(started))
    found = [decision(lease, reason, running(paused=paused), isolates=isolates) for _ in range(2)]
    assert found[0] == found[1]
    assert lease == before


@given(size=st.integers(1, 1000), max_losses=st.integers(1, 6), data=st.data())
def test_crashing_item_is_found_in_few_losses(size: int, max_losses: int, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(10, 9 + size))
    chunks, lost, failed = deque([leased(size)]), 0, list[Any]()
    while chunks:
        lease = chunks.popleft()
        if guilty not in (lease.ordinals or ()):
            continue
        lost += 1
        action = decision(lease, max_losses=max_losses).action
        if isinstance(action, Fail):
            failed.append(lease.ordinals)
        chunks += sent_by(action)
    assert [list(ordinals) for ordinals in failed] == [[guilty]]
    assert lost <= max_losses + 10 + 1


@given(
    size=st.integers(1, 12),
    at_most_once=st.sets(st.integers(10, 21)),
    steps=st.lists(
        st.tuples(st.sampled_from(REASONS), st.integers(0, 50), st.sets(st.integers(10, 21)), st.booleans()),
        max_size=60,
    ),
)
def test_item_fails_only_alone_and_none_that_started_is_sent_again(
    size: int, at_most_once: set[int], steps: list[tuple[LossReason, int, set[int], bool]]
) -> None:
    """In each step a worker starts or reports some items of a chunk, and the chunk is lost or returned."""
    chunks, done, reviewed, started = [leased(size)], set[int](), set[int](), set[int]()
    for reason, number, touched, reports in steps:
        if not chunks:
            break
        lease = chunks.pop(number % len(chunks))
        own = touched.intersection(lease.ordinals or ()) - lease.reported
        if reports:
            done |= own
            lease.reported |= own
        else:
            starting = own & at_most_once - lease.started
            assert not starting & started - done, "an item starts only once"
            started |= starting
            lease.started |= starting
            lease.holder = "one" if starting else lease.holder
        found = decision(lease, reason)
        reviewed |= found.needs_review
        if isinstance(found.action, Fail):
            left = set(lease.ordinals or ()) - lease.reported - found.needs_review
            assert len(left) == 1, "it was alone"
            done |= left
            continue
        if isinstance(found.action, Keep | Resend):
            sent = [replace(lease, resent=lease.resent or isinstance(found.action, Resend))]
        else:
            sent = sent_by(found.action)
            assert not any(part.unreported_started for part in sent)
        chunks += [part for part in sent if set(part.ordinals or ()) - part.reported]
    left = {o for lease in chunks for o in set(lease.ordinals or ()) - lease.reported}
    assert left | done | reviewed == set(range(10, 10 + size)), "each item has ended or is still sent"
    assert sum(len(set(lease.ordinals or ()) - lease.reported) for lease in chunks) == len(left), "and that once"


@given(size=st.integers(1, 5), times=st.integers(1, 20))
def test_chunk_that_only_stopping_workers_return_is_never_blamed(size: int, times: int) -> None:
    lease = leased(size)
    for _ in range(times):
        lease = redispatched(decision(lease, "stopping"))
    assert (lease.fence, lease.losses, lease.quarantined) == (5 + times, 0, False)


def sent_by(action: LossAction) -> list[Lease]:
    if isinstance(action, Redispatch):
        return [action.lease]
    return list(action.parts) if isinstance(action, Halve) else []
