"""Tests of the e-mail about the end of a batch."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.events import BatchStuck, KeyExpiring
from batchyard_contracts.v1.queries import FailureGroup
from batchyard_contracts.v1.values import Counts, WaitReason
from services.notifier.delivery.alert_email import compose_expiring, compose_stuck
from services.notifier.delivery.email_body import build_email, compose_finished, finished_subject, sender_address
from services.notifier.domain.one_line import header_safe, one_line
from tests.support.finished_batches import AT, finished

SENDER = sender_address("Batchyard <noreply@batchyard.example>")
ID = UUID(int=7)
HEADERS = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
INJECTIONS = [
    "Sets\r\nBcc: evil@x.example",
    "Sets\nBcc: evil@x.example\n\nbody",
    "=?utf-8?q?a=0ABcc:_evil@x.example?=",
    "x =?utf-8?b?YQpCY2M6IGV2aWxAeC5leGFtcGxl?= y",
    "=\x00?utf-8?q?=0ABcc:_evil@x.example?=",
    "a\x0bBcc: evil@x.example",
    "a\u2028Bcc: evil@x.example",
    "a\x85Bcc: evil@x.example",
    "\u202egnp.exe",
]


def parsed(raw: bytes) -> EmailMessage:
    message = BytesParser(policy=default).parsebytes(raw)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


def test_the_email_states_the_result_and_the_counts() -> None:
    message = parsed(compose_finished(finished(labels={"team": "music"}), None, "ann@a.example", SENDER, ID))
    assert message["Subject"] == "Batch 'Friday sets' finished: partial (118 of 124)"
    assert message["To"] == "ann@a.example"
    assert message["From"] == "Batchyard <noreply@batchyard.example>"
    assert message["Message-ID"] == f"<{ID.hex}@batchyard.example>"
    assert message["Date"].datetime == AT
    assert set(message.keys()) == HEADERS
    text, page = text_of(message, "plain"), text_of(message, "html")
    assert "Batch 'Friday sets' has finished: partial." in text
    for fact in ("118", "4", "2026-11-20 18:30:00+00:00", "music"):
        assert fact in text
        assert fact in page
    assert "Cancelled" not in text


def test_the_email_contains_the_summary_or_its_error() -> None:
    summary = {"projects": 3, "cost": {"expected": 120500.0}, "note": "one\r\nBcc: evil@x.example"}
    message = parsed(compose_finished(finished(summary=summary), None, "ann@a.example", SENDER, ID))
    for kind in ("plain", "html"):
        text = text_of(message, kind)
        assert "Projects" in text
        assert "Cost expected" in text
        assert "120,500" in text
    assert set(message.keys()) == HEADERS
    assert "\nBcc" not in text_of(message, "plain")
    lacking = parsed(compose_finished(finished(summary_error="No worker made it."), None, "ann@a.example", SENDER, ID))
    assert "No summary:  No worker made it." in text_of(lacking, "plain")


CAUSES = [
    FailureGroup(code="not_found", count=3, message="HTTP 404", ordinals=[1], partition="example.org"),
    FailureGroup(code="timeout", count=1, message="No answer\nwithin 30 s.", ordinals=[2]),
    *(FailureGroup(code=f"other_{number}", count=1, message="", ordinals=[3]) for number in range(5)),
]


def test_the_email_names_the_most_frequent_causes_and_counts_the_others() -> None:
    event = finished()
    message = parsed(compose_finished(event, None, "ann@a.example", SENDER, ID, CAUSES))
    lines = text_of(message, "plain").splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith("Cause")] == [
        "Cause: 3 items, not_found at example.org: HTTP 404",
        "Cause: 1 item, timeout: No answer within 30 s.",
        "Cause: 1 item, other_0",
        "Cause: 1 item, other_1",
        "Cause: 1 item, other_2",
        f"Causes: 2 more, batchyard failures {event.batch_id}",
    ]


def test_the_email_has_a_link_to_the_batch_or_the_command_that_shows_it() -> None:
    event = finished(name="https://evil.example/")
    link = f"https://b.example/api/v1/batches/{event.batch_id}"
    linked = parsed(compose_finished(event, None, "ann@a.example", SENDER, ID, (), link))
    assert link in text_of(linked, "plain").split()
    assert text_of(linked, "html").count("<a href=") == 1
    assert f'<a href="{link}">' in text_of(linked, "html")
    plain = parsed(compose_finished(event, None, "ann@a.example", SENDER, ID))
    assert f"batchyard show {event.batch_id}" in text_of(plain, "plain")
    assert "<a href" not in text_of(plain, "html")


def test_no_name_of_a_row_runs_into_its_value() -> None:
    table = [("Unreachable", "0"), ("Best of all places", "1")]
    message = parsed(build_email("A", "Done.", table, AT, "ann@a.example", SENDER, ID))
    assert text_of(message, "plain").splitlines()[2:] == ["Unreachable:         0", "Best of all places:  1"]


def test_repeated_attempts_compose_the_same_email() -> None:
    def read() -> tuple[list[tuple[str, str]], str]:
        message = parsed(compose_finished(event, None, "ann@a.example", SENDER, ID))
        headers = [(name, value) for name, value in message.items() if name != "Content-Type"]
        return headers, text_of(message, "html")

    event = finished()
    assert read() == read()


def test_the_name_is_that_of_the_event_or_of_the_batch_or_its_id() -> None:
    nameless = finished(name=None, counts=Counts(succeeded=1, remaining=0), result="completed")
    assert finished_subject(nameless, "kept") == "Batch 'kept' finished: completed (1 of 1)"
    assert finished_subject(nameless, None) == f"Batch {nameless.batch_id} finished: completed (1 of 1)"
    message = parsed(compose_finished(nameless, "kept", "ann@a.example", SENDER, ID))
    assert message["Subject"].startswith("Batch 'kept'")


def test_names_beyond_ascii_are_encoded_correctly() -> None:
    message = parsed(compose_finished(finished(name="Ünïcode 音楽 🎧"), None, "ann@a.example", SENDER, ID))
    assert message["Subject"].startswith("Batch 'Ünïcode 音楽 🎧'")
    assert "Ünïcode 音楽 🎧" in text_of(message, "html")


def test_html_is_escaped() -> None:
    raw = compose_finished(finished(name="<script>alert(1)</script>"), None, "ann@a.example", SENDER, ID)
    assert "<script>" not in text_of(parsed(raw), "html")


@pytest.mark.parametrize("name", INJECTIONS)
def test_no_name_adds_a_header(name: str) -> None:
    event = finished(name=name, labels={name[:63]: name})
    raw = compose_finished(event, name, "ann@a.example", SENDER, ID)
    message = parsed(raw)
    assert set(message.keys()) == HEADERS
    assert "evil" not in str(message["To"])
    head = raw.partition(b"\r\n\r\n")[0].lower()
    assert b"\nbcc" not in head
    if "=?" in name:
        assert str(event.batch_id) in message["Subject"]


@given(st.text(max_size=200))
def test_no_text_adds_a_header(name: str) -> None:
    message = parsed(compose_finished(finished(name=name), None, "ann@a.example", SENDER, ID))
    assert set(message.keys()) == HEADERS


@pytest.mark.parametrize(
    "address",
    ["a@b, c@d", "a@b\r\nBcc: x@y", "=?utf-8?q?a=0ABcc:_x@y?=@b", "ann", "@b", "a@", "a\ufffd@b", "<a@b>", ""],
)
def test_no_address_adds_a_recipient(address: str) -> None:
    try:
        raw = compose_finished(finished(), None, address, SENDER, ID)
    except ValueError:
        return
    message = parsed(raw)
    assert set(message.keys()) == HEADERS
    assert len(message["To"].addresses) == 1
    assert message["To"].addresses[0].addr_spec.encode("utf-8", "surrogateescape").decode() == address


@pytest.mark.parametrize("address", ["a@" + "b" * 240 + ".example", '"ann smith"@b.example', "jörg@b.example", "a+b@c"])
def test_unusual_addresses_are_written_as_they_are(address: str) -> None:
    message = parsed(compose_finished(finished(), None, address, SENDER, ID))
    assert message["To"].addresses[0].addr_spec.encode("utf-8", "surrogateescape").decode() == address


@given(st.text(max_size=254))
def test_any_address_is_the_only_recipient_or_refused(address: str) -> None:
    try:
        raw = compose_finished(finished(), None, address, SENDER, ID)
    except ValueError:
        return
    message = parsed(raw)
    assert set(message.keys()) == HEADERS
    assert len(message["To"].addresses) == 1


@pytest.mark.parametrize("text", ["", "nobody", "a@b@c", "jörg@b.example", "x =?utf-8?q?=0A?= <a@b.example>"])
def test_an_invalid_sender_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        sender_address(text)


@given(st.text())
def test_one_line_returns_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 200
    assert line.isprintable()
    safe = header_safe(text)
    assert safe is None or "=?" not in safe


WORDS = [
    "Friday",
    "sets",
    "Bücher",
    "日本語のセット",
    "—",
    "“quoted”",
    "émigré,",
    "x" * 40,
    "ü" * 40,
    "🎧🎧",
    "a@b",
    '"',
    "ok.",
]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20).map(" ".join))
def test_a_subject_comes_back_whole(subject: str) -> None:
    encoded = build_email(subject, "It ended.", [], AT, "a@a.example", SENDER, ID)
    assert parsed(encoded)["Subject"] == subject
    head = encoded.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert head.isascii()


def test_a_senders_domain_is_written_as_the_dns_knows_it() -> None:
    assert sender_address("Batchyard <b@bücher.example>").domain == "xn--bcher-kva.example"


def test_a_stuck_batch_is_described_to_operators() -> None:
    event = BatchStuck(
        workload="tracklists", owner="ann", batch_id=ID, round=1, counts=Counts(total=3, succeeded=1, remaining=2),
        name="Friday\nsets", reason=WaitReason(code="stuck", detail="2 items have no outcome."),
        since=datetime(2026, 11, 20, tzinfo=UTC), at=datetime(2026, 11, 21, tzinfo=UTC),
    )  # fmt: skip
    message = parsed(compose_stuck(event, "ann@a.example", SENDER, ID))
    assert message["Subject"] == f"tracklists: batch {ID} is stuck"
    plain = text_of(message, "plain")
    for line in ("2 items have no outcome.", "Owner:      ann", "Remaining:  2", f"Inspect:    batchyard show {ID}"):
        assert line in plain
    assert set(message.keys()) == HEADERS


def test_the_end_of_a_key_is_told_to_operators() -> None:
    event = KeyExpiring(
        workload="unknown", owner="ann", key_id="k1", name="nightly\njobs",
        expires_at=datetime(2026, 11, 27, 8, tzinfo=UTC), at=datetime(2026, 11, 20, 8, tzinfo=UTC),
    )  # fmt: skip
    message = parsed(compose_expiring(event, "ann@a.example", SENDER, ID))
    assert message["Subject"] == "API key k1 ends at 2026-11-27 08:00+00:00"
    plain = text_of(message, "plain")
    for line in ("Owner:      ann", "Last used:  never", "batchyard keys rotate k1", "nightly jobs"):
        assert line in plain
    assert set(message.keys()) == HEADERS


@pytest.mark.parametrize("result", ["completed", "partial", "failed", "cancelled"])
def test_a_batch_that_did_not_complete_names_the_commands_for_its_failures(result: str) -> None:
    event = finished(result=result, stop_reason="failure_threshold" if result == "cancelled" else None)
    text = text_of(parsed(compose_finished(event, None, "ann@example.org", SENDER, ID)), "plain")
    assert (f"batchyard failures {event.batch_id}" in text) == (result != "completed")
    assert (f"batchyard retry {event.batch_id}" in text) == (result != "completed")
    assert ("failure threshold" in text) == (result == "cancelled")
