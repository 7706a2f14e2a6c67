"""The tables that show a batch to a person."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from services.cli.client.documents import Batch, Counts, Deliveries, Delivery, WaitReason
from services.cli.rendering.output import show
from services.cli.rendering.tables import batch_block, workload_block, workloads_table

AT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
NONE = Deliveries()


def shown(deliveries: Deliveries | None = NONE, **fields: Any) -> str:
    given: dict[str, Any] = {"status": "finished", "result": "completed", "finished_at": AT} | fields
    batch = Batch(
        batch_id="019a2b3c-0000-7000-8000-000000000001", workload="squares", priority="normal",
        round=1, counts=Counts(total=2, succeeded=2), accepted_at=AT, **given,
    )  # fmt: skip
    text = StringIO()
    Console(file=text, width=200).print(batch_block(batch, deliveries))
    return text.getvalue()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"summary": {"sum": 5, "of": ["a", "[b]"]}}, "sum 5"),
        ({"summary": {"sum": 5, "of": ["a", "[b]"]}}, "of a, [b]"),
        ({"summary": 5}, "summary 5"),
        ({"summary_error": "No worker made it."}, "no summary No worker made it."),
    ],
)
def test_the_summary_is_shown_a_fact_a_line(fields: dict[str, Any], line: str) -> None:
    assert line in [" ".join(each.split()) for each in shown(**fields).splitlines()]


def test_without_a_summary_nothing_is_said_of_it() -> None:
    assert "summary" not in shown()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "pending"}, "about to be sent"),
        (
            {"state": "pending", "attempts": 2, "error": "HTTP 503", "next_attempt_at": AT},
            f"not delivered yet, 2 attempts: HTTP 503; next attempt at {AT.astimezone():%Y-%m-%d %H:%M:%S}",
        ),
        ({"state": "failed", "attempts": 1, "error": "HTTP 410"}, "given up after 1 attempt: HTTP 410"),
        (
            {"state": "delivered", "attempts": 1, "ended_at": AT},
            f"delivered at {AT.astimezone():%Y-%m-%d %H:%M:%S}",
        ),
        ({"state": "delivered", "attempts": 3}, "delivered, after 3 attempts"),
    ],
)
def test_a_notification_is_shown_with_its_receiver_and_its_state(fields: dict[str, Any], words: str) -> None:
    found = Deliveries([Delivery(1, "webhook", "https://a.example/…", **fields)])
    lines = [" ".join(each.split()) for each in shown(found).splitlines()]
    assert f"notified webhook to https://a.example/…: {words}" in lines


def test_deliveries_of_several_rounds_name_their_round() -> None:
    text = shown(Deliveries([Delivery(n, "email", "ann@example.org", "delivered", 1) for n in (2, 1)]))
    assert text.index("ann@example.org of the end of round 2") < text.index("ann@example.org of the end of round 1")


def test_deliveries_that_are_not_known_are_said_to_be_so() -> None:
    assert "not known: the notifier does not answer" in shown(None)


def test_the_reason_to_wait_is_shown_with_its_time() -> None:
    reason = WaitReason("circuit_open", "a.example refuses every call.", AT)
    lines = [" ".join(each.split()) for each in shown(status="running", result=None, waiting=reason).splitlines()]
    assert "state running (circuit open)" in lines
    assert f"waits a.example refuses every call. Until {AT.astimezone():%Y-%m-%d %H:%M:%S}." in lines
    paused = shown(status="paused", result=None, waiting=WaitReason("paused", "The batch is paused."))
    assert "(paused)" not in paused
    assert "waits" in paused


def test_workloads_are_listed_with_their_live_workers() -> None:
    text = StringIO()
    known = [{"name": name, "version": "1", "workers": count} for name, count in (("a", 2), ("b", 0), ("c", None))]
    Console(file=text, width=120).print(workloads_table(known))
    assert [line.split()[:3] for line in text.getvalue().splitlines()[1:]] == [
        ["a", "1", "2"], ["b", "1", "0"], ["c", "1", "?"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"title": "Keep Bytes", "description": "How much is kept"}, "How much is kept"),
        ({"title": "Number of bytes"}, "Number of bytes"),
        ({"title": "Keep Bytes"}, ""),
        ({"title": "Keep Bytes", "enum": ["all", "none"]}, "one of all, none"),
    ],
)
def test_a_field_has_the_meaning_that_its_name_does_not_say(
    part: dict[str, Any], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = {"name": "w", "version": "1", "item_schema": {"properties": {"keep_bytes": {"type": "string", **part}}}}
    show(*workload_block(manifest))
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("keep_bytes")]
    assert line.split(maxsplit=2)[2:] == ([words] if words else [])
