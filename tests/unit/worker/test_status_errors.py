"""An HTTP status becomes the error that decides whether its item runs again, waits, or fails."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.workload import Ambiguous, Permanent, RateLimited, Transient, WorkloadError
from services.worker.domain.status_errors import error_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def error(status: int, headers: Mapping[str, str] | None = None, **settings: Any) -> WorkloadError:
    return error_of(status, headers or {}, "It said no.", NOW, **settings)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 520, 599])
def test_a_server_that_breaks_down_is_asked_again(status: int) -> None:
    found = error(status)
    assert type(found) is Transient
    assert (found.code, found.message, found.scope) == (f"http_{status}", "It said no.", "item")


@pytest.mark.parametrize(
    ("status", "kind"), [(408, Transient), (425, Transient), (500, Ambiguous), (503, Ambiguous), (520, Ambiguous)]
)
def test_a_call_that_must_not_be_repeated_is_asked_again_only_where_it_was_surely_not_taken(
    status: int, kind: type[WorkloadError]
) -> None:
    found = error(status, repeatable=False)
    assert type(found) is kind
    assert ("not repeated by itself" in str(found.message)) is (kind is Ambiguous)


@pytest.mark.parametrize(
    ("status", "headers", "delay_s", "code"),
    [
        (429, {"retry-after": "7"}, 7.0, "rate_limited"),
        (429, {}, None, "rate_limited"),
        (503, {"retry-after": "9"}, 9.0, "unavailable"),
    ],
)
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_destination_that_asks_for_a_pause_gets_it(
    status: int, headers: dict[str, str], delay_s: float | None, code: str, repeatable: bool
) -> None:
    found = error(status, headers, repeatable=repeatable)
    assert isinstance(found, RateLimited)
    assert (found.delay_s, found.code) == (delay_s, code)


@pytest.mark.parametrize("status", [400, 404, 410, 422, 501, 505, 519])
def test_a_refusal_of_the_item_itself_is_final(status: int) -> None:
    found = error(status)
    assert type(found) is Permanent
    assert (found.code, found.scope) == (f"http_{status}", "item")


@pytest.mark.parametrize("status", [401, 402, 403])
def test_refused_keys_are_the_fault_of_whoever_they_belong_to(status: int) -> None:
    assert (error(status).scope, error(status, access_scope="item").scope) == ("provider", "item")
    assert type(error(status)) is Permanent
