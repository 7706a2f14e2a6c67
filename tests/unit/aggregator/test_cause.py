"""Tests of which failures have the same cause, and that stored ids do not change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import ItemOutcome, ItemsSettled, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.aggregator.domain.cause import _RUN, _SPACE, _VARIABLE, cause_id, message_template
from services.aggregator.domain.failure import find_failures
from services.aggregator.domain.outcome_rows import outcome_rows
from services.aggregator.domain.report import Report
from tests.support.growth import assert_linear
from tests.support.ledger_messages import BATCH, batch, processed

SAME = [
    ("Connect call failed ('10.0.0.7', 443)", "Connect call failed ('192.168.12.40', 8443)"),
    ("no page 7", "no page 1,204.5"),
    ("GET https://a.example/x?id=7 answered 404", "GET http://b.example/ answered 410"),
    ('"title" is missing', '"artist" is missing'),
    ("Key `abc` not found in 'x y'", "Key `d e f` not found in 'z'"),
    ("order 019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70 is gone", "order 9demo123 is gone"),
    ("mail to ann@example.org bounced", "mail to bob.b@example.com bounced"),
    ("took 12.5s, limit 10s", "took 900ms, limit 1s"),
    ("bad rows: 1, 2, 3", "bad rows: 17"),
    ("timed out at 2026-11-20T18:03:12Z", "timed out at 18:04"),
    ("Cannot  read\n/tmp/run-17/a.html", "cannot read /tmp/run-9/b.html"),
]
DIFFERENT = [
    ("no page 7", "no file 7"),
    ("can't open what isn't there", "can't close what isn't there"),
    ("connection refused", "connection reset"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_messages_that_differ_in_variable_parts_have_one_cause(one: str, other: str) -> None:
    assert cause_id("c", one, "p") == cause_id("c", other, "p")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_messages_with_other_words_have_other_causes(one: str, other: str) -> None:
    assert cause_id("c", one, "p") != cause_id("c", other, "p")


def test_code_and_partition_are_part_of_the_cause() -> None:
    assert len({cause_id(code, "no page", place) for code in ("a", "b") for place in ("p", "q")}) == 4


def test_stored_cause_ids_do_not_change() -> None:
    """Stored ids stay valid: if this fails, raise `VERSION` and update the ids here."""
    assert cause_id("http_503", "Service Unavailable", "a.example") == "1-4d85c26b6f7ac615"
    assert cause_id("not_found", "GET https://a.example/7 answered 404", "") == "1-af63f7c371e25911"


@given(st.lists(st.sampled_from(["the", "page", "is", "not", "there", "isn't"])), st.data())
def test_variable_parts_anywhere_do_not_change_the_template(words: list[str], data: st.DataObject) -> None:
    def filled() -> str:
        number = st.integers(0, 10**18).map(str)
        quoted = st.text("ab c", max_size=5).map("'{}'".format)
        variable = st.one_of(number, st.uuids().map(str), quoted, number.map("https://a.example/{}".format))
        return " ".join(part for word in words for part in (word, data.draw(variable)))

    assert message_template(filled()) == message_template(filled())


@given(st.text(max_size=3000))
def test_any_message_has_a_cause(message: str) -> None:
    assert cause_id("c", message, "p").startswith("1-")
    assert len(message_template(message)) <= 2001 * 3


@pytest.mark.parametrize(
    "piece", ["a", "a@", "'", "\u201c", "\u201c\n", "\u201c\u201d", "x://", "(", "no page 7 of 'x' "]
)
def test_a_message_takes_long_in_proportion_to_its_length_alone(piece: str) -> None:
    assert_linear(lambda n: message_template((piece * n)[:n]), 500)


@given(st.text("a1 .\u201c\u201d\xab\xbb\u2018\u2019\n", max_size=40))
def test_quotes_that_are_never_closed_are_words_as_any_other(message: str) -> None:
    """The shortcut that keeps the time in proportion changes no template."""
    text = _VARIABLE.sub("#", message)
    assert message_template(message) == _SPACE.sub(" ", _RUN.sub("#", text)).strip().lower()


def test_failures_in_a_report_have_the_partition_of_the_chunk() -> None:
    error = ItemError(code="not_found", message="no page 3", scope="item")
    message = processed(
        {0: "succeeded", 3: ItemOutcome(ordinal=3, status="failed", error=error)}, partition="a.example"
    )
    report = Report.of(message)
    (one,) = find_failures(report, outcome_rows(report, batch(total=9)))
    assert (one.ordinal, one.cause.code, one.cause.partition, one.cause.message) == (
        3, "not_found", "a.example", "no page 3",
    )  # fmt: skip
    assert not one.cause.retryable, "the handler said that this input can never succeed"


@pytest.mark.parametrize("code", ["invalid_item", "file_unavailable", "file_changed", "too_many_items"])
def test_a_line_that_never_became_an_item_is_not_said_to_succeed_by_another_run(code: str) -> None:
    items = [SettledItem(ordinal=1, error=ItemError(code=code))]
    message = ItemsSettled(batch_id=BATCH, round=1, status="failed", items=items)
    (found,) = find_failures(message, outcome_rows(message, batch()))
    assert not found.cause.retryable


def test_settled_failures_have_the_partition_of_the_item() -> None:
    items = [
        SettledItem(ordinal=1, partition="a.example", error=ItemError(code="http_503")),
        SettledItem(ordinal=2, error=ItemError(code="worker_lost")),
    ]
    found = []
    for status in ("failed", "expired", "cancelled", "duplicate"):
        message = ItemsSettled.model_validate({"batch_id": BATCH, "round": 1, "status": status, "items": items})
        found += [
            (x.cause.code, x.cause.partition, x.cause.retryable)
            for x in find_failures(message, outcome_rows(message, batch()))
        ]
    assert found == [("http_503", "a.example", True), ("worker_lost", "", False)] * 2
