"""The settings of ingest."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from batchyard_contracts.api_keys import is_api_key
from batchyard_contracts.egress import Network, parse_networks
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, ClientOwner
from services.ingest.domain.owner_limits import DefaultLimits, OwnerLimits
from services.ingest.domain.retention import Retention
from shared.artefacts.settings import S3KeyId, S3Region, S3Secret, S3Url
from shared.artefacts.store import StorePlace, check_place
from shared.runtime.errors import ConfigurationError
from shared.runtime.settings import Settings, check_pair, encrypted_url

BucketPrefix = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,62}(/[^\s?#*]*)?$")]


def _with_form(key: SecretStr) -> SecretStr:
    if not is_api_key(key.get_secret_value()):
        raise ValueError("this is no API key; `batchyard keys generate` makes one")
    return key


class IngestSettings(Settings):
    """Settings for the HTTP API, its keys, and backpressure."""

    topology_amqp_url: str | None = Field(
        None,
        description="RabbitMQ as a user who may declare queues; ingest declares those of all services and workloads",
        examples=["amqp://topology:password@127.0.0.1:5672/"],
        repr=False,
    )
    http_host: str = Field("127.0.0.1", description="address on which the HTTP API is served")
    http_port: int = Field(
        8000, ge=0, le=65535, description="port of the HTTP API; 0: a free port, which the log names"
    )
    http_tls_certificate_file: Path | None = Field(
        None,
        description="certificate of the HTTP API with those between it and its authority, in PEM; absent: no TLS",
        examples=["/etc/batchyard/http.crt"],
    )
    http_tls_key_file: Path | None = Field(
        None, description="private key of that certificate, in PEM", examples=["/etc/batchyard/http.key"]
    )
    http_tls_client_ca_file: Path | None = Field(
        None,
        description="authorities of clients, in PEM; only clients with a certificate of theirs are served",
        examples=["/etc/batchyard/clients.pem"],
    )
    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = Field(
        None,
        description="address by which browsers reach the HTTP API, if a proxy stands in front of it",
        examples=["https://batchyard.example.com"],
    )
    allowed_hosts: set[str] = Field(
        set(),
        description="further names of this server in the header Host, as a JSON list; where the API listens on the "
        "machine itself only, no other names than those of that, of public_url and of this list are answered",
        examples=['["batchyard.example.com"]'],
    )
    operator_key: Annotated[SecretStr, AfterValidator(_with_form)] | None = Field(
        None,
        description='API key of the owner "operator" with all scopes, entered at the start; `batchyard keys generate` '
        "makes one",
        examples=["by_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx2Ugh85"],
    )
    key_environment: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,12}$")] = Field(
        "live", description="part of each new API key that tells one installation from another"
    )
    api_tokens: dict[ClientOwner, Annotated[SecretStr, Field(min_length=16)]] = Field(
        {},
        description="out of date: tokens by owner, as a JSON object, which are entered as API keys once",
        examples=['{"ann": "a-token-of-16-characters-or-more"}'],
    )
    operators: set[ClientOwner] = Field(
        set(),
        description="out of date: owners whose tokens are entered with operators' scopes, as a JSON list",
        examples=['["ann"]'],
    )
    max_websockets: int = Field(1000, ge=1, le=100_000, description="largest number of open WebSockets")
    max_backlog: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="largest number of outbox messages that wait for the broker; beyond it commands are rejected",
    )
    max_waiting_per_owner: int = Field(
        2_000_000,
        ge=MAX_ITEMS_PER_COMMAND,
        le=1_000_000_000,
        description="largest number of waiting items of one owner; beyond it submissions are rejected with 429",
    )
    owner_limits: DefaultLimits | None = Field(
        None,
        description="limits of owners for whom an operator has set no others, as a JSON object with fields of `GET "
        "/limits`; what is left out has its default",
        examples=['{"requests": 1000, "uploads": 10}'],
    )
    max_waiting: int = Field(
        10_000_000,
        ge=MAX_ITEMS_PER_COMMAND,
        le=1_000_000_000,
        description="largest number of waiting items of all owners; beyond it submissions are rejected with 429",
    )
    unsealed_idle_s: float = Field(
        86_400, ge=1, le=31_536_000, description="time without a new item after which an unsealed batch is stopped"
    )

    max_schedules: int = Field(1000, ge=1, le=1_000_000, description="largest number of schedules of one owner")
    retention: Retention = Field(
        Retention(),
        description="days after the end of a batch for which what belongs to it is kept, where operators have set no "
        "others, as a JSON object with the kinds payloads, outcomes, deliveries and batch; null: until it is deleted",
        examples=['{"payloads": 7, "outcomes": 90, "deliveries": 30, "batch": 400}'],
    )
    deletion_days: float = Field(
        90, gt=0, le=36_500, description="days for which the deletion of a batch is remembered, with what was deleted"
    )
    run_days: int = Field(90, ge=1, le=36_500, description="days for which the runs of schedules are kept")
    exports_store: Annotated[str, AfterValidator(check_place)] = Field(
        default_factory=lambda: f"{os.environ.get('BATCHYARD_HOME') or '~/.batchyard'}/exports",
        description="where exports are kept: a folder that all replicas of ingest share, or s3://bucket/prefix; "
        "default: exports below BATCHYARD_HOME",
        examples=["s3://exports/batchyard"],
    )
    exports_s3_url: S3Url = Field("", description="S3-compatible service of exports; empty: AWS")
    exports_s3_key_id: S3KeyId = ""
    exports_s3_secret: S3Secret = SecretStr("")
    exports_s3_region: S3Region = "us-east-1"
    remote_files_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="private networks from which batches may read files of items, on any port: CIDRs, comma-separated",
        examples=["10.1.0.0/16,fd00::/8"],
    )
    remote_files_buckets: dict[ClientOwner | Literal["*"], set[BucketPrefix]] = Field(
        {},
        description="places in buckets from which the batches of an owner may read files of items, as a JSON object; "
        '"*" stands for all owners',
        examples=['{"ann": ["s3://incoming/ann"]}'],
    )
    remote_files_s3_url: S3Url = Field("", description="S3-compatible service of these buckets; empty: AWS")
    remote_files_s3_key_id: S3KeyId = ""
    remote_files_s3_secret: S3Secret = SecretStr("")
    remote_files_s3_region: S3Region = "us-east-1"
    remote_files_max_bytes: int = Field(
        4 * 1024**3, ge=1024, le=2**50, description="largest size of one remote file, expanded"
    )
    remote_files_hours: float = Field(
        24, gt=0, le=8784, description="hours after its acceptance for which the files of a batch are read"
    )
    export_days: int = Field(7, ge=1, le=36_500, description="days for which exports are kept")
    audit_days: int = Field(400, ge=1, le=36_500, description="days for which entries of the audit are kept")
    audit_entries: int = Field(
        5_000_000, ge=1000, le=1_000_000_000, description="largest number of entries of the audit; the oldest ones go"
    )

    @property
    def exports_place(self) -> StorePlace:
        """Place of exports."""
        return StorePlace(
            self.exports_store,
            self.exports_s3_url,
            self.exports_s3_key_id,
            self.exports_s3_secret,
            self.exports_s3_region,
        )

    @property
    def remote_files_place(self) -> StorePlace:
        """Service of the buckets from which files are read."""
        return StorePlace(
            "s3://any",
            self.remote_files_s3_url,
            self.remote_files_s3_key_id,
            self.remote_files_s3_secret,
            self.remote_files_s3_region,
        )

    @field_validator("remote_files_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value) if isinstance(value, str) else value

    @property
    def default_limits(self) -> OwnerLimits:
        """Limits of owners for whom nothing else was set."""
        changes = self.owner_limits.model_dump(exclude_unset=True) if self.owner_limits else {}
        return OwnerLimits(waiting_items=self.max_waiting_per_owner).with_changes(changes)

    @field_validator("topology_amqp_url")
    @classmethod
    def _encrypted_topology(cls, url: str | None, info: ValidationInfo) -> str | None:
        return encrypted_url(url, info) if url else None

    def check_files(self) -> None:
        """Raise `ConfigurationError` when a file that a setting names is not there, or a certificate has no key."""
        super().check_files()
        check_pair("HTTP_TLS", self.http_tls_certificate_file, self.http_tls_key_file)
        if self.http_tls_client_ca_file and not self.http_tls_certificate_file:
            raise ConfigurationError("BATCHYARD_HTTP_TLS_CLIENT_CA_FILE needs BATCHYARD_HTTP_TLS_CERTIFICATE_FILE.")
