"""Decisions on a report: each rule, and that partial reports lose no item."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import CircuitRule, Manifest
from batchyard_contracts.v1.values import ItemError, RetryRule
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.rate_limiting.circuit_breaker import AT_FAULT, CircuitBreaker
from services.dispatcher.domain.report_decision import (
    Provider,
    Refusal,
    ReportDecision,
    chunk_outcomes,
    decide,
    decide_complete,
    is_complete,
    new_outcomes,
)
from services.dispatcher.domain.retry_policy import MAX_WAITS
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

BATCH = UUID(int=1)
RUNNING = Batch(BATCH, "ann", "w", "normal")
CANCELLED, EXPIRED = replace(RUNNING, cancelled=True), replace(RUNNING, stop_reason="deadline")
RULE = CircuitRule(base_s=10, cap_s=25, give_up_s=100)
CIRCUIT = Provider(rule=RULE)
CAPTCHA = ItemError(code="captcha", message="blocked", scope="provider")


def error(code: str, scope: str = "item", message: str = "") -> ItemError:
    return ItemError.model_validate({"code": code, "scope": scope, "message": message})


def retry(ordinal: int = 0, **fields: Any) -> ItemOutcome:
    return ItemOutcome.model_validate({"ordinal": ordinal, "status": "retry", "error": error("http_500")} | fields)


def refusal(ordinal: int = 0, **fields: Any) -> ItemOutcome:
    return retry(ordinal, **({"error": CAPTCHA, "elapsed_ms": 5} | fields))


def line(ordinal: int) -> bytes:
    return b'{"ordinal":%d,"payload":{"n":%d}}' % (ordinal, ordinal)


def pages(count: int) -> PageRange:
    return PageRange(0, 0, 0, count)


def again(count: int) -> RetryRange:
    return RetryRange(2, tuple(range(count)))


def leased(source: PageRange | RetryRange, attempt: int, *, quarantined: bool = False) -> Lease:
    return Lease(
        UUID(int=2), 1, BATCH, "w", "normal", "p", 1, attempt, source, seen_at=0.0, sent_at=0.0, quarantined=quarantined
    )


def manifest(retry: Mapping[str, RetryRule]) -> Manifest:
    return Manifest(name="w", version="1", item_schema={}, result_schema={}, retry=dict(retry))


def report(
    told: Mapping[int, ItemOutcome | None] | list[ItemOutcome],
    source: PageRange | RetryRange | None = None,
    *,
    final: bool = True,
    covered: frozenset[int] = frozenset(),
    batch: Batch | None = RUNNING,
    provider: Provider | None = None,
    attempt: int = 1,
    quarantined: bool = False,
    waits: int = 0,
    kept: set[int] | None = None,
    rules: Mapping[str, RetryRule] | None = None,
    jitter: float = 0.5,
) -> ReportDecision:
    """Decide on a report as the handler does, without its shortcut."""
    outcomes = told if isinstance(told, Mapping) else {o.ordinal: o for o in told}
    source = source or pages(len(outcomes))
    new = new_outcomes(outcomes, range(source.count), covered, final=final)
    rows = {o: (waits, line(o)) for o in range(source.count) if kept is None or o in kept}
    return decide(
        leased(source, attempt, quarantined=quarantined),
        new,
        rows,
        batch,
        provider or Provider(),
        manifest({"default": RetryRule(attempts=3, base_s=2, cap_s=60), **(rules or {})}),
        100.0,
        lambda: jitter,
        final=final,
    )


def settled(decision: ReportDecision) -> tuple[list[int], list[int], list[int]]:
    failed, cancelled, expired = decision.failed, decision.cancelled, decision.expired
    return [x.ordinal for x in failed], [x.ordinal for x in cancelled], [x.ordinal for x in expired]


# which items a report is about


@pytest.mark.parametrize(
    ("final", "ended", "covered", "complete"),
    [
        (True, {5, 6, 7}, set(), True),
        (True, {7}, {5, 6}, True),
        (False, {5, 6, 7}, set(), False),
        (True, set(), {5, 6, 7}, False),
        (True, {5, 6}, set(), False),
        (True, {5, 6, 7, 8}, set(), False),
        (True, {1, 2, 3}, set(), False),
    ],
)
def test_report_that_ends_all_remaining_items_need_not_be_parsed(
    final: bool, ended: set[int], covered: set[int], complete: bool
) -> None:
    assert is_complete(final=final, ended=ended, ordinals=(5, 6, 7), covered=covered) is complete
    assert not is_complete(final=final, ended=ended, ordinals=None, covered=covered), "they are not known"


@given(size=st.integers(1, 20), covered=st.sets(st.integers(0, 19)), retried=st.booleans())
def test_unparsed_report_gives_the_same_decision_as_a_parsed_one(size: int, covered: set[int], retried: bool) -> None:
    source, known = again(size) if retried else pages(size), frozenset(o for o in covered if o < size)
    told = {o: None for o in range(size) if o not in known}
    read = report(told, source, covered=known)
    short = decide_complete(source, known)
    assert (short.ended, set(short.finished)) == (read.ended, set(read.finished))
    assert (read.retries, settled(read), read.refusals, read.failures) == ((), ([], [], []), (), 0)
    assert short.answered
    assert read.answered is bool(told)


def test_ended_retry_chunk_leaves_no_rows() -> None:
    assert set(report({0: None, 1: None}, again(2)).finished) == {0, 1}
    assert set(report({0: None, 1: None}, pages(2)).finished) == set()


def test_items_missing_in_the_final_report_run_again() -> None:
    decision = report({0: None, 7: None}, pages(3))
    assert [r.ordinal for r in decision.retries] == [1, 2]
    assert all(orjson.loads(r.item)["rerun"] for r in decision.retries)
    assert set(decision.covered) == {0, 1, 2}
    assert decision.failures == 2


def test_partial_report_does_not_end_the_chunk() -> None:
    decision = report({0: None}, pages(3), final=False)
    assert (decision.ended, set(decision.covered), decision.retries) == (False, {0}, ())


def test_items_reported_before_are_neither_new_nor_missing() -> None:
    decision = report([retry(0)], pages(2), final=False, covered=frozenset({0, 1}))
    assert (set(decision.covered), decision.retries, decision.failures, decision.answered) == (set(), (), 0, False)
    assert [r.ordinal for r in report({}, pages(3), covered=frozenset({0, 2})).retries] == [1]


def test_chunk_without_stored_page_ends_without_items() -> None:
    assert new_outcomes({0: None}, (), frozenset(), final=True) == {}


# the batch


def test_no_item_of_a_finished_batch_runs_again() -> None:
    for source, finished in ((pages(2), set()), (again(2), {0, 1})):
        decision = report({0: None, 1: retry(1)}, source, batch=None)
        assert (decision.retries, settled(decision), decision.ended) == ((), ([], [], []), True)
        assert set(decision.finished) == finished
        assert decision.answered


@pytest.mark.parametrize("source", [pages(2), again(2)])
@pytest.mark.parametrize("batch", [CANCELLED, EXPIRED])
def test_items_of_a_stopped_batch_end_with_it(source: PageRange | RetryRange, batch: Batch) -> None:
    going_on = ItemOutcome(ordinal=1, status="continued", state={"job": 1}, custom_id="c")
    decision = report([retry(0), going_on], source, batch=batch)
    ended = decision.cancelled if batch is CANCELLED else decision.expired
    assert [(x.ordinal, x.custom_id, x.error, x.attempts, x.partition) for x in ended] == [
        (0, None, None, 1, "p"),
        (1, "c", None, 1, "p"),
    ]
    assert set(decision.finished) == {0, 1}
    assert (decision.retries, decision.failed, decision.pause) == ((), (), None)
    [(partition, elsewhere)] = decision.cancel_elsewhere
    assert (partition, orjson.loads(elsewhere)["state"]) == ("p", {"job": 1})


@pytest.mark.parametrize("code", ["held_back", "batch_cancelled", "http_500"])
def test_an_item_that_waited_for_its_next_call_when_its_batch_stopped_is_cancelled_elsewhere(code: str) -> None:
    waiting = {
        0: (0, b'{"ordinal":0,"payload":{},"state":{"job":7}}'),
        1: (0, b'{"ordinal":1,"payload":{"state":"CA"}}'),
    }
    outcomes = {n: retry(n, error=error(code)) for n in waiting}
    decision = decide(
        leased(again(2), 1), outcomes, waiting, CANCELLED, Provider(), manifest({}), 0.0, lambda: 0.5, final=True
    )
    assert [orjson.loads(one)["state"] for _, one in decision.cancel_elsewhere] == [{"job": 7}]


def test_refusal_in_a_stopped_batch_opens_the_circuit() -> None:
    decision = report([refusal()], batch=CANCELLED, provider=CIRCUIT)
    assert decision.refusals == (Refusal(0, CAPTCHA),)
    assert settled(decision) == ([], [0], [])


# what follows a run


def test_each_item_follows_the_rule_of_its_own_error() -> None:
    rules = {"a": RetryRule(attempts=1), "b": RetryRule(attempts=2, base_s=8)}
    decision = report([retry(0, error=error("a")), retry(1, error=error("b"))], rules=rules)
    assert settled(decision) == ([0], [], [])
    assert [(r.ordinal, r.attempt, r.waits, r.delay_s) for r in decision.retries] == [(1, 2, 0, 4.0)]


def test_last_attempt_fails_with_its_error() -> None:
    decision = report([retry(0, custom_id="c"), retry(1, error=None)], attempt=3)
    assert [(x.error.code if x.error else None, x.attempts, x.custom_id) for x in decision.failed] == [
        ("http_500", 3, "c"),
        ("internal_error", 3, None),
    ]


@pytest.mark.parametrize(("source", "waits"), [(pages(1), 0), (again(1), 4)])
def test_requested_delay_uses_no_attempt(source: PageRange | RetryRange, waits: int) -> None:
    decision = report([retry(delay_s=7)], source, attempt=3, waits=waits)
    assert [(r.attempt, r.waits, r.delay_s) for r in decision.retries] == [(3, waits + 1, 7)]
    assert decision.failures == 0


@pytest.mark.parametrize("source", [pages(2), again(2)])
def test_retry_that_an_earlier_try_of_the_report_saved_is_deleted_when_its_item_fails(
    source: PageRange | RetryRange,
) -> None:
    decision = report([retry(0), retry(1, delay_s=1)], source, attempt=3)
    assert (settled(decision)[0], set(decision.finished)) == ([0], {0})


def test_number_of_waits_is_limited() -> None:
    [item] = report([retry(delay_s=7)], waits=MAX_WAITS).failed
    assert item.error is not None
    assert item.error.message.startswith(f"{MAX_WAITS} waits")


def test_continuation_keeps_its_state_and_leaves_quarantine() -> None:
    going_on = ItemOutcome(ordinal=0, status="continued", state={"job": 1}, delay_s=0)
    decision = report([going_on, retry(1)], quarantined=True)
    assert [(r.attempt, r.quarantined) for r in decision.retries] == [(1, False), (2, True)]
    assert orjson.loads(decision.retries[0].item)["state"] == {"job": 1}
    assert decision.answered
    assert decision.pause is None, "a delay of nothing stops nobody"
    assert not report([retry()]).retries[0].quarantined


@pytest.mark.parametrize("code", ["worker_stopping", "timeout", "process_died", "not_reported"])
def test_interrupted_run_is_marked_despite_a_state(code: str) -> None:
    [item] = report([retry(error=error(code), state={"x": 1})]).retries
    assert orjson.loads(item.item) == orjson.loads(line(0)) | {"rerun": True}


def test_item_that_failed_by_itself_keeps_its_line() -> None:
    assert report([retry()]).retries[0].item == line(0)


def test_item_no_longer_stored_has_ended() -> None:
    decision = report([retry(0), retry(1)], again(2), kept={1})
    assert [r.ordinal for r in decision.retries] == [1]
    assert (settled(decision), set(decision.finished), set(decision.covered)) == (([], [], []), {0}, {0, 1})


def test_each_item_has_its_own_jitter() -> None:
    draws = iter([0.25, 0.75])
    new = {0: retry(0), 1: retry(1)}
    decision = decide(
        leased(pages(2), 2), new, {o: (0, line(o)) for o in new}, RUNNING, Provider(),
        manifest({"default": RetryRule(attempts=9, base_s=2, cap_s=3)}), 0.0, lambda: next(draws), final=True,
    )  # fmt: skip
    assert [r.delay_s for r in decision.retries] == [0.75, 2.25]


# pauses


def test_provider_is_paused_for_the_longest_requested_delay() -> None:
    told = [
        retry(0, error=error("busy", "provider"), delay_s=3),
        retry(1, error=error("busy", "provider", "come later"), delay_s=9),
        retry(2, error=error("busy", "provider", "last"), delay_s=9),
        retry(3, error=error("busy"), delay_s=50),
    ]
    assert report(told).pause == (109.0, "come later")
    assert report(told[:1]).pause == (103.0, "busy")
    assert report(told[:2], batch=EXPIRED).pause is None
    assert report(told[:2], waits=MAX_WAITS).pause is None


@pytest.mark.parametrize(
    ("guessed", "adaptive", "delay_s", "pause"),
    [(True, True, 1.0, None), (True, False, 30, (130.0, "slow")), (False, True, 30, (130.0, "slow"))],
)
def test_guessed_delay_is_short_with_an_adaptive_rate(
    guessed: bool, adaptive: bool, delay_s: float, pause: Any
) -> None:
    limited = retry(error=error("rate_limited", "provider", "slow"), delay_s=30, guessed=guessed)
    decision = report([limited], provider=Provider(is_adaptive=adaptive))
    assert ([r.delay_s for r in decision.retries], decision.pause) == ([delay_s], pause)


# the circuit breaker


def test_two_refusals_open_the_circuit_once_and_wait_equally() -> None:
    decision = report([refusal(0), refusal(1)], attempt=3, waits=7, provider=CIRCUIT)
    assert [(r.delay_s, r.attempt, r.waits) for r in decision.retries] == [(15.0, 3, 7)] * 2
    assert decision.refusals == (Refusal(0, CAPTCHA), Refusal(1, CAPTCHA))
    assert decision.failures == 0


@pytest.mark.parametrize(
    ("state", "pause_s", "delay_s"), [("half_open", 10, 30), ("half_open", 20, 37.5), ("open", 20, 30)]
)
def test_refused_item_waits_for_the_pause_of_the_circuit(state: Any, pause_s: float, delay_s: float) -> None:
    decision = report([refusal()], provider=Provider(rule=RULE, state=state, pause_s=pause_s))
    assert [r.delay_s for r in decision.retries] == [delay_s]


def test_item_refused_again_after_others_were_accepted_is_at_fault() -> None:
    known = Provider(rule=RULE, close_count=2, refused={0: 1, 1: 2, 2: 1})
    decision = report([refusal(0), refusal(2, elapsed_ms=0), refusal(1)], provider=known)
    assert settled(decision) == ([0], [], [])
    assert decision.failed[0].error == CAPTCHA
    assert decision.refusals == (Refusal(0, None), Refusal(None, CAPTCHA), Refusal(1, CAPTCHA))


def test_item_refused_while_the_circuit_is_open_is_not_at_fault() -> None:
    for state in ("open", "half_open"):
        known = Provider(rule=RULE, state=state, pause_s=10, close_count=2, refused={0: 1})
        assert settled(report([refusal(0)], provider=known)) == ([], [], [])


def test_faulty_item_stays_at_fault_when_its_report_is_decided_again() -> None:
    known = Provider(rule=RULE, state="open", pause_s=10, close_count=2, refused={0: AT_FAULT, 1: 2})
    decision = report([refusal(0), refusal(1)], provider=known)
    assert settled(decision) == ([0], [], [])
    assert decision.refusals == (Refusal(0, None), Refusal(1, CAPTCHA))


def test_partition_without_a_circuit_follows_its_retry_rule() -> None:
    decision = report([refusal()])
    assert (decision.refusals, decision.retries[0].attempt, decision.retries[0].delay_s) == ((), 2, 1.0)


def test_answer_closes_the_circuit_before_a_refusal_reopens_it() -> None:
    probing = Provider(rule=RULE, state="half_open", pause_s=20)
    decision = report({0: None, 1: refusal(1)}, provider=probing)
    assert decision.answered
    assert [r.delay_s for r in decision.retries] == [15.0]


def test_broken_call_does_not_count_as_an_answer() -> None:
    assert not report([retry(0), retry(1)]).answered
    assert report([retry(0), ItemOutcome(ordinal=1, status="continued", state=1)]).answered


@given(
    told=st.dictionaries(st.integers(0, 5), st.sampled_from(["ended", "retry", "refused", "spared"]), min_size=1),
    state=st.sampled_from(["closed", "half_open", "open"]),
    refused_before=st.sets(st.integers(0, 5)),
)
def test_repeated_decision_on_a_report_is_the_same(told: dict[int, str], state: Any, refused_before: set[int]) -> None:
    made: dict[str, Any] = {
        "ended": lambda _: None, "retry": retry, "refused": refusal, "spared": lambda o: refusal(o, elapsed_ms=0)
    }  # fmt: skip
    circuit = CircuitBreaker(pause_s=10.0)
    for ordinal in refused_before:
        circuit.record_item_refusal(ordinal, at_fault=False)
    circuit.close()
    circuit.state = state

    def once() -> ReportDecision:
        refused = {o: at for o in told if (at := circuit.refused_at(o)) is not None}
        provider = Provider(False, RULE, circuit.state, circuit.pause_s, circuit.close_count, refused)
        decision = report({o: made[x](o) for o, x in told.items()}, pages(6), final=False, provider=provider)
        if decision.answered:
            circuit.record_success()
        for step in decision.refusals:
            if step.ordinal is not None:
                circuit.record_item_refusal(step.ordinal, at_fault=step.error is None)
            if step.error is not None:
                circuit.record_refusal(step.error, RULE, 100.0)
        return decision

    assert once() == once()


# the size of chunks


def test_only_transient_failures_count_for_the_chunk_size() -> None:
    told = {
        0: retry(0), 1: retry(1, error=None), 2: retry(2, delay_s=0), 3: refusal(3), 4: None,
        5: ItemOutcome(ordinal=5, status="continued", state=1),
    }  # fmt: skip
    decision = report(told, pages(7))
    assert decision.failures == 3, "the two, and the one that was not reported"


def test_chunk_outcomes_need_failures_or_the_end_and_no_retry() -> None:
    ended, failed, quiet = report({0: None}), report([retry()], final=False), report({0: None}, pages(2), final=False)
    outcomes = chunk_outcomes(ended, pages(4), 3, 5.0, 9.0)
    assert outcomes is not None
    assert (outcomes.failed, outcomes.count, outcomes.sent_at, outcomes.now) == (3, 4, 5.0, 9.0)
    assert chunk_outcomes(failed, pages(4), 1, 5.0, 9.0) is not None
    assert chunk_outcomes(quiet, pages(4), 0, 5.0, 9.0) is None
    assert chunk_outcomes(ended, again(4), 3, 5.0, 9.0) is None


# all of it


@given(
    said=st.lists(st.sampled_from(["ended", "retry", "failed", "silent"]), min_size=1, max_size=12),
    parts=st.lists(st.sets(st.integers(0, 14)), max_size=6),
    retried=st.booleans(),
)
def test_each_item_ends_or_runs_again_once_for_any_partial_reports(
    said: list[str], parts: list[set[int]], retried: bool
) -> None:
    outcomes: dict[int, ItemOutcome | None] = {}
    for ordinal, what in enumerate(said):
        if what == "ended":
            outcomes[ordinal] = None
        elif what != "silent":
            outcomes[ordinal] = retry(ordinal, error=error("fatal" if what == "failed" else "http_500"))
    rules = {"fatal": RetryRule(attempts=1)}
    source = again(len(said)) if retried else pages(len(said))
    whole = report(outcomes, source, rules=rules)
    covered: set[int] = set()
    retries, failed = list[int](), list[int]()
    for number, part in enumerate([*parts, set[int]()]):
        told = {o: outcomes[o] for o in part if o in outcomes} | ({99: None} if part else {})
        final = number == len(parts)
        told = outcomes if final else told
        decision = report(told, source, covered=frozenset(covered), final=final, rules=rules)
        covered |= decision.covered
        retries += [r.ordinal for r in decision.retries]
        failed += [x.ordinal for x in decision.failed]
    assert covered == set(range(len(said)))
    assert sorted(retries) == sorted(r.ordinal for r in whole.retries)
    assert sorted(failed) == sorted(x.ordinal for x in whole.failed)
    assert len({*retries, *failed}) == len(retries) + len(failed)
