"""Addresses of receivers as they are shown: without what may be a secret."""

import pytest

from batchyard_contracts.v1.queries.deliveries import MAX_SHOWN_TARGET
from services.notifier.domain.delivery import Target
from services.notifier.domain.shown_target import shown_target


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/hooks/batches", "https://example.org/hooks/batches"),
        ("https://example.org", "https://example.org"),
        ("https://ann:secret@example.org:8443/v1/done", "https://example.org:8443/v1/done"),
        ("https://example.org/done?key=secret", "https://example.org/done?…"),
        ("https://example.org/done#secret", "https://example.org/done?…"),
        ("https://hooks.slack.com/services/T01/B02/aBcDeFgHiJkLmNoPqRsTuVwX", "https://hooks.slack.com/services/…/…/…"),
        ("https://webhook.site/0b5e3f4a-1111-4222-8333-444455556666", "https://webhook.site/…"),
        ("http://[::1]:9000/a", "http://[::1]:9000/a"),
        ("http://[::1", "…"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_secret(url: str, shown: str) -> None:
    assert shown_target(Target("webhook", url)) == shown


def test_an_email_address_is_shown_as_it_is() -> None:
    assert shown_target(Target("email", "ann@example.org")) == "ann@example.org"


def test_a_long_address_is_cut() -> None:
    shown = shown_target(Target("webhook", "https://example.org/" + "a/" * 1000))
    assert len(shown) == MAX_SHOWN_TARGET
    assert shown.endswith("…")
