"""Tests of the notifier's settings from the environment."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from services.notifier.delivery.smtp_relay import SmtpRelay, parse_relay
from services.notifier.settings import NotifierSettings
from tests.support.finished_batches import SECRET


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> NotifierSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"BATCHYARD_{name}", value)
    return NotifierSettings()


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8, ::1/128,",
        DELIVERY_SCHEDULE="0,0.5, 3",
        WEBHOOK_SECRET=SECRET,
    )
    assert settings.webhook_allowed_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.delivery_schedule == (0, 0.5, 3)


def test_the_default_schedule_has_eight_attempts() -> None:
    assert NotifierSettings().delivery_schedule == (0, 5, 300, 1800, 7200, 18000, 36000, 36000)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("WEBHOOK_SECRET", "whsec_secretish", "24 to 64 random bytes"),
        ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1/8", "host bits"),
        ("WEBHOOK_ALLOWED_NETWORKS", "localhost", "localhost"),
        ("SMTP_URL", "http://user:secretish@host", "must look like smtp://"),
        ("SMTP_URL", "smtp://user@host", "must look like smtp://"),
        ("SMTP_URL", "smtp://host:99999", "must look like smtp://"),
        ("SMTP_URL", "smtp://:25", "must look like smtp://"),
        ("MAIL_FROM", "nobody", "must be an address"),
        ("PUBLIC_URL", "batchyard.example.org", "must look like https://"),
        ("PUBLIC_URL", "https://ann:secretish@b.example", "must look like https://"),
        ("PUBLIC_URL", "https://b.example/?token=secretish", "must look like https://"),
        ("PUBLIC_URL", "https://b.example:99999", "must look like https://"),
        ("DELIVERY_SCHEDULE", "0,-1", "0 to 604800"),
        ("DELIVERY_SCHEDULE", ",", "could not convert"),
        ("DELIVERY_SCHEDULE", "soon", "could not convert"),
        ("DELIVERY_LEASE_S", "10", "must be at least 21"),
    ],
)
def test_invalid_settings_are_refused_without_showing_secrets(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        load(monkeypatch, **{variable: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (variable.lower(),)
    assert complaint in error["msg"]
    assert "secretish" not in error["msg"]


def test_the_public_address_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, PUBLIC_URL="https://b.example/yard/").public_url == "https://b.example/yard"
    assert load(monkeypatch, PUBLIC_URL="").public_url is None


@pytest.mark.parametrize(
    ("url", "relay"),
    [
        ("smtp://localhost", SmtpRelay("localhost", 25, tls=False)),
        ("smtp://mail:1025/", SmtpRelay("mail", 1025, tls=False)),
        ("smtps://mail", SmtpRelay("mail", 465, tls=True)),
        ("smtp://a%40b:p%3Aw%2F@[::1]:587", SmtpRelay("::1", 587, tls=False, username="a@b", password="p:w/")),
    ],
)
def test_relay_urls_are_parsed_and_passwords_hidden(url: str, relay: SmtpRelay) -> None:
    assert parse_relay(url) == relay
    assert "p:w/" not in repr(relay)


@pytest.mark.parametrize(
    ("url", "required"),
    [
        ("smtp://mail", False),
        ("smtp://a:b@mail", True),
        ("smtps://a:b@mail", False),
        ("smtp://a:b@192.0.2.1", True),
        ("smtp://a:b@localhost", False),
        ("smtp://a:b@127.0.0.1", False),
        ("smtp://a:b@[::1]", False),
    ],
)
def test_a_password_needs_tls_on_its_way_to_another_machine(url: str, required: bool) -> None:
    assert parse_relay(url).requires_starttls == required
