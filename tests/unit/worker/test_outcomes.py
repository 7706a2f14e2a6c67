"""Outcomes of items by what their handler returned or raised."""

import warnings
from typing import Any, cast

import pytest
from pydantic import BaseModel, ValidationError, field_serializer

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem
from batchyard_contracts.workload import Ambiguous, Continuation, Permanent, RateLimited, Transient
from services.worker.domain.outcome import (
    RATE_LIMIT_PAUSE_S,
    from_error,
    from_result,
    internal_error,
    interrupted,
    invalid_item,
    retry_provider_refusal,
    skipped,
)

ITEM = ChunkItem(ordinal=5, payload={}, custom_id="five")


class Result(BaseModel):
    """A result with something unset, which must be kept."""

    title: str
    label: str | None = None


def test_a_result_is_kept_whole() -> None:
    outcome = from_result(ITEM, Result(title="x"), 12)
    assert (outcome.status, outcome.result, outcome.custom_id, outcome.elapsed_ms) == (
        "succeeded",
        {"title": "x", "label": None},
        "five",
        12,
    )


def test_a_continuation_is_not_the_end() -> None:
    outcome = from_result(ITEM, Continuation({"job": 1}, 5.0), 1)
    assert (outcome.status, outcome.state, outcome.delay_s) == ("continued", {"job": 1}, 5.0)


@pytest.mark.parametrize(
    ("error", "status", "code", "scope", "delay_s"),
    [
        (Permanent("not_found", "gone"), "failed", "not_found", "item", None),
        (Permanent("bad_key", scope="provider"), "failed", "bad_key", "provider", None),
        (Transient("http_500"), "retry", "http_500", "item", None),
        (RateLimited(7.5), "retry", "rate_limited", "provider", 7.5),
        (RateLimited(), "retry", "rate_limited", "provider", RATE_LIMIT_PAUSE_S),
        (RateLimited(0.0), "retry", "rate_limited", "item", None),
        (RateLimited(-5.0, code="unavailable"), "retry", "unavailable", "item", None),
        (RateLimited(float("nan")), "retry", "rate_limited", "item", None),
        (Ambiguous("paid?"), "failed", "needs_review", "item", None),
        (TimeoutError("slow"), "retry", "timeout", "item", None),
        (ZeroDivisionError("oops"), "retry", "internal_error", "item", None),
    ],
)
def test_an_error_says_what_follows(
    error: Exception, status: str, code: str, scope: str, delay_s: float | None
) -> None:
    outcome = from_error(ITEM, error, 3)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.error.scope, outcome.delay_s) == (status, code, scope, delay_s)
    assert bool(outcome.guessed) == (delay_s == RATE_LIMIT_PAUSE_S), "only a pause that nobody named is a guess"


def test_an_endless_message_is_cut() -> None:
    outcome = from_error(ITEM, ValueError("x" * 10_000), 0)
    assert outcome.error is not None
    assert len(outcome.error.message) == 2000


def test_an_item_that_does_not_fit_fails_and_says_where() -> None:
    with pytest.raises(ValidationError) as caught:
        Result.model_validate({"title": 3})
    outcome = invalid_item(ITEM, caught.value)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.message.startswith("`title` ")


def test_a_stopped_item_ends_only_when_its_batch_was_cancelled() -> None:
    assert interrupted(ITEM, cancelled=True).status == "cancelled"
    elsewhere = interrupted(ITEM, cancelled=False)
    assert (elsewhere.status, elsewhere.delay_s) == ("retry", 0.0)


class Anything(BaseModel):
    """A result of any kind."""

    value: Any


class Unwritable(Exception):
    """An error that cannot even be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("code", ["HTTP-404", "", "x" * 65, "a b", 404])
def test_a_code_of_another_form_is_replaced_and_kept_in_the_message(code: Any) -> None:
    outcome = from_error(ITEM, Permanent(code, "gone"), 0)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "invalid_error_code")
    assert repr(code)[:60] in outcome.error.message
    assert outcome.error.message.endswith("gone")


@pytest.mark.parametrize(("asked", "given"), [(4e7, 31_536_000.0), (float("inf"), 31_536_000.0)])
def test_a_pause_is_kept_within_what_a_message_may_carry(asked: float, given: float) -> None:
    assert from_error(ITEM, RateLimited(asked), 0).delay_s == given


@pytest.mark.parametrize("error", [Transient("x", "half \ud83d"), ValueError("half \ud83d"), TimeoutError("\ud83d")])
def test_half_a_character_in_an_error_is_replaced(error: Exception) -> None:
    outcome = from_error(ITEM, error, 0)
    assert outcome.error is not None
    assert "?" in outcome.error.message
    assert outcome.model_dump_json()


@pytest.mark.parametrize("value", ["half \ud83d", object(), {1: object()}])
def test_a_result_that_cannot_be_written_fails(value: Any) -> None:
    outcome = from_result(ITEM, Anything(value=value), 7)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.elapsed_ms) == ("failed", "invalid_result", 7)
    assert outcome.model_dump_json()


@pytest.mark.parametrize("value", [None, {"n": 1}])
def test_a_result_that_is_no_model_fails(value: Any) -> None:
    outcome = from_result(ITEM, value, 0)
    assert outcome.error is not None
    assert outcome.error.code == "invalid_result"


@pytest.mark.parametrize(
    "value",
    [
        Continuation(cast("Any", object()), 1.0),
        Continuation("\ud83d", 1.0),
        Continuation({}, 4e7),
        Continuation({}, -1.0),
    ],
)
def test_a_continuation_that_cannot_be_kept_fails(value: Continuation) -> None:
    outcome = from_result(ITEM, value, 0)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "invalid_result")
    assert outcome.model_dump_json()


def test_an_exception_whose_text_cannot_be_made_still_has_an_outcome() -> None:
    with pytest.raises(RuntimeError):
        from_error(ITEM, Unwritable(), 0)
    outcome = internal_error(ITEM, Unwritable(), 1)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "internal_error")


CAPTCHA = ItemError(code="captcha", message="Solve this.", scope="provider")


def test_an_item_that_its_provider_refused_for_good_waits_until_the_provider_is_itself_again() -> None:
    refused = from_error(ITEM, Permanent("captcha", "Solve this.", scope="provider"), 7)
    waiting = retry_provider_refusal(refused)
    assert (refused.status, waiting.status) == ("failed", "retry")
    assert waiting == refused.model_copy(update={"status": "retry"})
    assert retry_provider_refusal(waiting) == waiting


@pytest.mark.parametrize(
    "outcome",
    [
        from_error(ITEM, Permanent("not_found", "gone"), 1),
        from_error(ITEM, RateLimited(delay_s=5.0), 1),
        from_error(ITEM, Transient("captcha", "again", scope="provider"), 1),
        ItemOutcome(ordinal=5, status="failed"),
        ItemOutcome(ordinal=5, status="succeeded"),
        ItemOutcome(ordinal=5, status="cancelled", error=CAPTCHA),
    ],
    ids=["its own fault", "a rate", "runs again anyway", "without an error", "a success", "cancelled"],
)
def test_every_other_outcome_stays_as_it_is_where_items_wait_for_their_provider(outcome: ItemOutcome) -> None:
    assert retry_provider_refusal(outcome) is outcome


def test_an_item_that_was_spared_its_call_runs_again_with_the_refusal_of_the_other_and_took_no_time() -> None:
    """By an elapsed time of zero the dispatcher knows that the provider did not refuse this very item."""
    assert skipped(ITEM, CAPTCHA) == ItemOutcome(
        ordinal=5, custom_id="five", status="retry", error=CAPTCHA, delay_s=None, elapsed_ms=0
    )


def test_a_result_of_another_model_fails_and_is_kept() -> None:
    outcome = from_result(ITEM, Anything(value=1), 0, Result)
    assert isinstance(outcome, ItemOutcome)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.result) == ("invalid_result", {"value": 1})
    assert outcome.error.message == "The handler returned Anything, not its result model Result."
    assert from_result(ITEM, Result(title="x"), 0, Result).status == "succeeded"


@pytest.mark.parametrize("action", ["error", "ignore", "always"])
def test_a_result_with_a_value_of_another_type_fails_whatever_warnings_its_handler_wants(action: Any) -> None:
    wrong = Result.model_construct(title=cast("Any", 5))
    with warnings.catch_warnings(record=True) as caught:
        for _ in range(2):
            warnings.simplefilter(action)
            assert from_result(ITEM, wrong, 0, Result).status == "failed"
            assert from_result(ITEM, Result(title="x"), 0, Result).status == "succeeded"
        warnings.resetwarnings()
        assert from_result(ITEM, wrong, 0, Result).status == "failed"
        warnings.simplefilter(action)
        assert not caught
        if action == "always":
            wrong.model_dump_json()
            assert len(caught) == 1, "a handler's own warnings are left alone"


def test_a_value_of_another_type_fails_though_a_filter_is_set_while_it_is_written() -> None:
    class Silent(Result):
        @field_serializer("title")
        def write(self, title: str) -> str:
            warnings.simplefilter("ignore")
            return title

    wrong = Silent(title="x").model_copy(update={"label": 5})
    with warnings.catch_warnings():
        assert from_result(ITEM, wrong, 0, Silent).status == "failed"
        assert from_result(ITEM, Silent(title="x"), 0, Silent).status == "succeeded"


def test_a_result_with_a_value_of_another_type_fails_and_is_kept() -> None:
    for value in (Result.model_construct(title=cast("Any", 5)), Result(title="x").model_copy(update={"title": 5})):
        outcome = from_result(ITEM, value, 0, Result)
        assert isinstance(outcome, ItemOutcome)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.result) == ("invalid_result", {"title": 5, "label": None})
