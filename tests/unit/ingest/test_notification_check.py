"""Notifications that could never be sent are refused at submission."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.flow import NotifierAnnounced
from batchyard_contracts.v1.values import NotificationTargets
from services.ingest.domain.notification_check import check_targets


def notifier(**fields: Any) -> NotifierAnnounced:
    known = {"emails": True, "webhooks": True, "started_at": datetime(2026, 11, 30, tzinfo=UTC)}
    return NotifierAnnounced.model_validate(known | fields)


@pytest.mark.parametrize(
    ("targets", "setting", "code"),
    [
        ({"emails": ["a@example.org"]}, {"emails": False}, "emails_unavailable"),
        ({"webhooks": ["https://example.org/"]}, {"webhooks": False}, "webhooks_unavailable"),
        ({"emails": ["a@example.org"], "webhooks": ["https://example.org/"]}, {}, None),
        ({}, {"emails": False, "webhooks": False}, None),
    ],
)
def test_a_notification_without_the_setting_that_it_needs_is_refused(
    targets: dict[str, Any], setting: dict[str, Any], code: str | None
) -> None:
    rejection = check_targets(NotificationTargets(**targets), notifier(**setting))
    assert (rejection and rejection.code) == code


@pytest.mark.parametrize(
    ("url", "networks", "refused"),
    [
        ("https://example.org/hook", [], False),
        ("http://example.org:80/hook", [], False),
        ("http://93.184.216.34/hook", [], False),
        ("https://example.org:8443/hook", [], True),
        ("https://inside.example:8443/hook", ["10.0.0.0/8"], False),
        ("http://127.0.0.1:9000/hook", [], True),
        ("http://localhost/hook", [], True),
        ("http://[::1]/hook", [], True),
        ("http://[::ffff:127.0.0.1]/hook", [], True),
        ("http://[::ffff:127.0.0.1]:9000/hook", ["127.0.0.0/8"], False),
        ("http://10.1.2.3/hook", ["10.1.0.0/16"], False),
        ("http://10.2.2.3/hook", ["10.1.0.0/16"], True),
        ("http://169.254.169.254/latest", [], True),
        ("http://93.184.216.34:8080/hook", [], True),
        ("http://example.org:99999/hook", [], True),
        ("http://[x/hook", [], True),
    ],
)
def test_a_webhook_that_can_never_be_reached_is_refused(url: str, networks: list[str], refused: bool) -> None:
    rejection = check_targets(NotificationTargets(webhooks=[url]), notifier(webhook_networks=networks))
    assert (rejection is not None) == refused
    assert rejection is None or rejection.code == "webhook_unreachable"
