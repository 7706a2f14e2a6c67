"""The notifier's settings."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from batchyard_contracts.egress import Network, parse_networks
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.smtp_relay import parse_relay
from services.notifier.delivery.webhook_signature import check_secret
from services.notifier.domain.backoff_schedule import DEFAULT_DELAYS_S
from shared.runtime.settings import Settings

_LEASE_MARGIN_S = 1.0
"""Least time by which a lease exceeds an attempt, so that the outcome can be recorded."""


class NotifierSettings(Settings):
    """Secrets, limits and the retry schedule of the notifier."""

    webhook_secret: SecretStr | None = Field(
        None,
        description="key that signs webhooks: whsec_ and 24 to 64 bytes in base64; without it webhooks are refused",
        examples=["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    )
    webhook_allowed_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="private networks that webhooks may reach, on any port: CIDRs, comma-separated",
        examples=["10.1.0.0/16,fd00::/8"],
    )
    webhook_timeout_s: float = Field(15.0, gt=0, le=25, description="seconds for one webhook request")
    webhook_concurrency: int = Field(50, ge=1, le=1000, description="largest number of concurrent webhook requests")
    webhook_concurrency_per_host: int = Field(
        4, ge=1, le=1000, description="largest number of concurrent webhook requests to one host"
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="SMTP server: smtp[s]://[user:password@]host[:port]; with a password, a server on another machine "
        "has to offer TLS; without a server e-mails are refused",
        examples=["smtps://user:password@mail.example.com:465"],
    )
    mail_from: str = Field("Batchyard <batchyard@localhost>", description="sender of e-mails")
    public_url: str | None = Field(
        None,
        description="address at which people reach the HTTP API, for links in e-mails; without it they have none",
        examples=["https://batchyard.example.com"],
    )
    operator_emails: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="operators to alert of refusing providers, stuck batches, ending keys: addresses, comma-separated",
        examples=["ann@example.com,bob@example.com"],
    )
    deletion_days: float = Field(
        90,
        gt=0,
        le=36_500,
        description="days for which alerts and the ids of deleted batches are kept, so that late "
        "messages do not bring these back; give ingest the same value",
    )
    smtp_timeout_s: float = Field(20.0, gt=0, le=25, description="seconds for sending one e-mail")
    mail_concurrency: int = Field(4, ge=1, le=100, description="largest number of e-mails that are sent at once")
    delivery_schedule: Annotated[tuple[float, ...], NoDecode] = Field(
        DEFAULT_DELAYS_S,
        description="1 to 100 delays before the attempts, each of 0 to 604800 seconds, comma-separated",
    )
    delivery_lease_s: float = Field(
        60.0,
        gt=_LEASE_MARGIN_S,
        le=3600,
        description="seconds after which the delivery of a process that died is attempted again",
    )

    @field_validator("webhook_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_secret(value.get_secret_value())
        return value

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value) if isinstance(value, str) else value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_relay(value.get_secret_value())
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            parts = urlsplit(value)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.username is not None or parts.query or parts.fragment or not value.isprintable():
            raise ValueError("must look like https://batchyard.example.org, without user, query and fragment")
        return value.rstrip("/")

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str) -> str:
        sender_address(value)
        return value

    @field_validator("operator_emails", mode="before")
    @classmethod
    def _operators(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("operator_emails")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            sender_address(address)
        return value

    @field_validator("delivery_schedule", mode="before")
    @classmethod
    def _schedule(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("delivery_schedule")
    @classmethod
    def _check_schedule(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(value) <= 100 or not all(0 <= delay <= 604_800 for delay in value):
            raise ValueError("must be 1 to 100 comma-separated delays of 0 to 604800 seconds (a week) each")
        return value

    @field_validator("delivery_lease_s")
    @classmethod
    def _check_lease(cls, value: float, info: ValidationInfo) -> float:
        longest = max(info.data.get(field, 0.0) for field in ("webhook_timeout_s", "smtp_timeout_s"))
        if value < longest + _LEASE_MARGIN_S:
            raise ValueError(f"must be at least {longest + _LEASE_MARGIN_S:g}, to outlast an attempt of {longest:g} s")
        return value
