"""What an answer means."""

import pytest

from services.notifier.domain.attempt import Verdict, http_attempt, smtp_attempt


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, "delivered") for status in (200, 201, 202, 204, 299)),
        *((status, "try_again") for status in (300, 301, 302, 304, 307, 308)),
        *((status, "try_again") for status in (400, 401, 403, 404, 408, 409, 422, 429)),
        *((status, "try_again") for status in (500, 502, 503, 504, 599)),
        (410, "give_up"),
    ],
)
def test_http(status: int, verdict: Verdict) -> None:
    attempt = http_attempt(status, "text", 7.0)
    assert (attempt.verdict, attempt.status, attempt.reply) == (verdict, status, "text")
    assert attempt.retry_after_s == (7.0 if status in (429, 503) else None)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (421, "try_again"),
        (450, "try_again"),
        (451, "try_again"),
        (452, "try_again"),
        (550, "give_up"),
        (554, "give_up"),
    ],
)
def test_smtp(code: int, verdict: Verdict) -> None:
    attempt = smtp_attempt(code, "text")
    assert (attempt.verdict, attempt.status, attempt.reason) == (verdict, code, f"smtp {code}")
