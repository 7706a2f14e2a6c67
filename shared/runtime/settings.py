"""Settings that every service reads from the environment, under the prefix `BATCHYARD_`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from batchyard_contracts.broker_urls import broker_urls
from batchyard_contracts.v1.values import Owner


def _with_hosts(url: str) -> str:
    broker_urls(url)  # raises an error that says what is wrong
    return url


class Settings(BaseSettings):
    """Addresses of the three servers, logging and health. Services add their own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="BATCHYARD_", env_ignore_empty=True, frozen=True)

    amqp_url: Annotated[str, AfterValidator(_with_hosts)] = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        description="RabbitMQ, 3.10 or later; of several hosts, the next one is taken when one fails",
        examples=["amqp://user:password@one:5672,two:5672/"],
        repr=False,
    )
    database_url: str = Field(
        "postgresql://batchyard@127.0.0.1:5432/batchyard",
        description="PostgreSQL, 14 or later; each service has a schema of its own",
        repr=False,
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey, 6 or later", repr=False)
    database_pool: int = Field(5, ge=1, le=100, description="largest number of PostgreSQL connections of a process")
    anonymous_owner: Owner | None = Field(
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
