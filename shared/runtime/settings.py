"""Settings that every service reads from the environment, under the prefix `BATCHYARD_`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from batchyard_contracts.broker_urls import broker_urls
from batchyard_contracts.v1.values import ClientOwner
from shared.runtime.errors import ConfigurationError
from shared.runtime.server_urls import TlsFiles, hosts_reached_in_clear, with_tls


def _with_hosts(url: str) -> str:
    broker_urls(url)  # raises an error that says what is wrong
    return url


class Settings(BaseSettings):
    """Addresses of the three servers, logging and health. Services add their own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="BATCHYARD_", env_ignore_empty=True, frozen=True)

    tls_ca_file: Path | None = Field(
        None,
        description="authorities whose certificates RabbitMQ, PostgreSQL, Redis and the mail server may have, in PEM; "
        "absent: those of the system",
        examples=["/etc/batchyard/ca.pem"],
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="certificate that a service shows to these servers, in PEM",
        examples=["/etc/batchyard/tls.crt"],
    )
    tls_key_file: Path | None = Field(
        None, description="private key of that certificate, in PEM", examples=["/etc/batchyard/tls.key"]
    )
    allow_clear_passwords: bool = Field(
        False, description="send passwords and API keys to other machines without TLS, with a warning in the log"
    )
    amqp_url: Annotated[str, AfterValidator(_with_hosts)] = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        description="RabbitMQ, 3.10 or later; of several hosts, the next one is taken when one fails",
        examples=["amqps://user:password@one:5671,two:5671/"],
        repr=False,
    )
    database_url: str = Field(
        "postgresql://batchyard@127.0.0.1:5432/batchyard",
        description="PostgreSQL, 14 or later; each service has a schema of its own",
        repr=False,
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey, 6 or later", repr=False)
    database_pool: int = Field(5, ge=1, le=100, description="largest number of PostgreSQL connections of a process")
    topology: Literal["declare", "check"] = Field(
        "declare",
        description="declare the exchanges and queues, which takes the right to, or wait until they are there",
    )
    anonymous_owner: ClientOwner | None = Field(
        None,
        description="owner of AMQP messages without the property `user_id`; without it they are refused",
        examples=["default"],
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important messages that the log has"
    )
    log_format: Literal["json", "console"] = Field("json", description="JSON, one object a line, or text for people")
    health_host: str = Field("127.0.0.1", description="address on which /livez, /readyz and /metrics are served")
    health_port: int = Field(0, ge=0, le=65535, description="port of the health server; 0: there is none")
    trace_file: str | None = Field(
        None,
        max_length=4096,
        description="file to which finished spans are appended, one JSON object a line",
        examples=["/var/log/batchyard/spans.ndjson"],
    )
    otlp_endpoint: str | None = Field(
        None,
        max_length=2048,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="receiver of traces and metrics by OTLP over HTTP; needs the extra `otlp`",
        examples=["http://collector:4318"],
    )

    @field_validator("amqp_url", "database_url", "redis_url")
    @classmethod
    def _encrypted(cls, url: str, info: ValidationInfo) -> str:
        return encrypted_url(url, info)

    def check_files(self) -> None:
        """Raise `ConfigurationError` when a file that a setting names is not there, or a certificate has no key."""
        check_pair("TLS", self.tls_certificate_file, self.tls_key_file)
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Path) and not value.is_file():
                raise ConfigurationError(f"BATCHYARD_{name.upper()}: there is no file {value}.")

    @property
    def tls_files(self) -> TlsFiles:
        """Files of TLS for connections to servers."""
        return _files(dict(self))

    def hosts_in_clear(self) -> list[str]:
        """Return the hosts to which passwords travel unencrypted, because a setting allows it."""
        urls = (self.amqp_url, self.database_url, self.redis_url)
        return sorted({host for url in urls for host in hosts_reached_in_clear(url)})


def encrypted_url(url: str, info: ValidationInfo) -> str:
    """Return an address with the settings of TLS. Raises `ValueError` if its password would travel unencrypted."""
    url = with_tls(url, _files(info.data))
    if not info.data.get("allow_clear_passwords") and (hosts := hosts_reached_in_clear(url)):
        raise ValueError(
            f"its password would travel unencrypted to {hosts[0]}: use amqps://, rediss:// or sslmode=verify-full, "
            "or set BATCHYARD_ALLOW_CLEAR_PASSWORDS=true"
        )
    return url


def _files(values: Mapping[str, Any]) -> TlsFiles:
    names = (values.get("tls_ca_file"), values.get("tls_certificate_file"), values.get("tls_key_file"))
    return TlsFiles(*(str(name.absolute()) if name else None for name in names))


def check_pair(prefix: str, certificate: Path | None, key: Path | None) -> None:
    """Raise `ConfigurationError` when only one of a certificate and its key is given."""
    if (certificate is None) != (key is None):
        raise ConfigurationError(
            f"Set both BATCHYARD_{prefix}_CERTIFICATE_FILE and BATCHYARD_{prefix}_KEY_FILE, or none of them."
        )
