"""A stored value that this version cannot read costs its batch that value, and no other batch anything."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.values import FailureThreshold, Terms
from services.aggregator.domain.batch import NO_TARGETS, Batch
from services.aggregator.domain.terms_history import TermsHistory
from services.aggregator.persistence.row_mapping import batch_from_row, summary_from_row

AT = datetime(2026, 11, 30, tzinfo=UTC)
TEXTS = {"labels": '{"a":"b"}', "notify": '{"emails":["a@b.example"]}'}
TEXTS |= {"metadata": '{"a":1}', "terms": '{"failure_threshold":[{"count":3},"2026-11-30T00:00:00+00:00"]}'}


def read(**changed: str) -> Batch:
    """Return the batch of a row with these values."""
    row: dict[str, Any] = dict.fromkeys(_COLUMNS) | dict.fromkeys(_NUMBERS, 0) | TEXTS | changed
    row |= {"batch_id": UUID(int=1), "owner": "o", "workload": "w", "accepted_at": AT, "priority": "normal"}
    return batch_from_row(row)


_NUMBERS = ("id", "succeeded", "failed", "cancelled", "expired", "duplicate", "cached", "units", "round", "version")
_COLUMNS = (
    *("name", "traceparent", "summarize", "sourced", "unit", "total", "units_total", "paused", "result", "finished_at"),
    *("changed_at", "paused_or_resumed_at", "priority_changed_at", "cancel_asked_at", "retry_asked_at", "reopened_at"),
    *("stopped", "failed_before", "ended_before", "summary_due_at", "summary_asked", "stuck_version", "status"),
    *("outcomes_deleted_at", "deleted_at"),
)


def values(batch: Batch) -> tuple[Any, ...]:
    """Return labels, receivers, metadata and threshold."""
    assert batch.header
    terms = batch.terms_history.terms if batch.terms_history else Terms()
    return batch.header.labels, batch.header.notify, batch.header.metadata, terms.failure_threshold


@pytest.mark.parametrize(
    ("column", "text"),
    [
        *((column, text) for column in TEXTS for text in ("{", "[1]", "5")),
        ("notify", '{"emails":5}'),
        ("terms", '{"failure_threshold":7}'),
        ("terms", '{"failure_threshold":[{"count":3},"yesterday"]}'),
    ],
)
def test_a_batch_is_read_without_the_value(column: str, text: str) -> None:
    names = ("labels", "notify", "metadata", "terms")
    defaults: tuple[Any, ...] = ({}, NO_TARGETS, {}, None)
    with capture_logs() as logs:
        found = values(read(**{column: text}))
    whole = values(read())
    expected = [default if name == column else one for name, one, default in zip(names, whole, defaults, strict=True)]
    assert list(found) == expected
    assert [(entry["column"], entry["batch_id"]) for entry in logs] == [(column, str(UUID(int=1)))]


def test_a_term_of_another_version_leaves_the_others_in_force() -> None:
    entries = {"failure_threshold": ({"count": 3}, AT), "weight": ({"of": "later"}, AT), "unheard_of": (1, AT)}
    history = TermsHistory(entries)
    assert history.terms == Terms(failure_threshold=FailureThreshold(count=3))
    assert history.entries == entries


def test_a_summary_that_cannot_be_read_says_so() -> None:
    assert summary_from_row({"id": 1, "summary": b"{", "error": None}).error == "The stored summary cannot be read."
    assert summary_from_row({"id": 1, "summary": b'{"n":1}', "error": None}).value == {"n": 1}
