"""Tests of what the response to an attempt means."""

import pytest

from services.notifier.domain.attempt import AttemptOutcome, http_attempt, smtp_attempt


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "delivered") for status in (200, 201, 202, 204, 299)),
        *((status, "retry") for status in (300, 301, 302, 304, 307, 308)),
        *((status, "retry") for status in (400, 401, 403, 404, 408, 409, 422, 429)),
        *((status, "retry") for status in (500, 502, 503, 504, 599)),
        (410, "give_up"),
    ],
)
def test_http_status_decides_the_outcome(status: int, outcome: AttemptOutcome) -> None:
    attempt = http_attempt(status, "text", 7.0)
    assert (attempt.outcome, attempt.status, attempt.reply) == (outcome, status, "text")
    assert attempt.retry_after_s == (7.0 if status in (429, 503) else None)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (421, "retry"),
        (450, "retry"),
        (451, "retry"),
        (452, "retry"),
        (550, "give_up"),
        (554, "give_up"),
    ],
)
def test_smtp_code_decides_the_outcome(code: int, outcome: AttemptOutcome) -> None:
    attempt = smtp_attempt(code, "text")
    assert (attempt.outcome, attempt.status, attempt.reason) == (outcome, code, f"SMTP {code}")
