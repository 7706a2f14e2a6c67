"""Settings of the http workload: the private networks that it may call, and headers that no batch may see."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from batchyard_contracts.egress import Network, parse_networks
from batchyard_contracts.v1.values import Owner
from services.worker.workloads.http.model import HeaderName


class Credential(BaseModel):
    """Headers that are added to calls of one origin."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    origin: str
    headers: dict[HeaderName, SecretStr]
    owners: frozenset[Owner] | None = None
    """Owners whose items may use it; None: everybody's."""

    @field_validator("origin")
    @classmethod
    def _plain(cls, text: str) -> str:
        url = URL(text)
        if url.scheme not in ("http", "https") or not url.host or url.user or url.raw_path not in ("", "/"):
            raise ValueError("an origin is scheme, host and port, as in https://api.example.com")
        return str(url.origin())


class HttpSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_HTTP_CALLS_`."""

    model_config = SettingsConfigDict(
        env_prefix="BATCHYARD_HTTP_CALLS_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    allowed_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="private networks that calls may reach, on any port: CIDRs, comma-separated",
        examples=["10.1.0.0/16"],
    )
    credentials: dict[str, Credential] = Field(
        {},
        description="headers that are added to calls of an origin, by a name that items give, as a JSON object; "
        "`owners` are those whose items may use it, by default everybody's",
        examples=['{"crm": {"origin": "https://api.example.com", "headers": {"X-Key": "the-key"}, "owners": ["ann"]}}'],
        repr=False,
    )

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value) if isinstance(value, str) else value
