"""Settings of the videos workload: the provider, its key, and the store."""

import os
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from batchyard_contracts.egress import Network, parse_networks
from services.worker.workloads.videos.model import ProviderName
from shared.artefacts.store import StorePlace, check_place

PREFIX = "BATCHYARD_VIDEOS_"
REPLICATE_URL = "https://api.replicate.com/v1"


class VideosSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_VIDEOS_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    provider: ProviderName = Field(
        "local", description="provider of clips; local: test pictures that the worker draws without any model"
    )
    url: str = Field(
        "",
        description="openai: base address of an API with /videos; replicate: empty for the public one",
        examples=["http://vllm:8000/v1"],
    )
    key: SecretStr = Field(
        SecretStr(""), description="the provider's API key; needed for https", examples=["the-key-of-the-provider"]
    )
    model: str = Field(
        "",
        max_length=200,
        description="model of items that name none; replicate: owner/name or owner/name:version, required",
        examples=["owner/name"],
    )
    names: dict[str, str] = Field(
        {"prompt": "prompt", "seconds": "duration", "seed": "seed"},
        description="replicate: the model's names of prompt, seconds, size and seed, as a JSON object; an item with a "
        "field that has no name fails",
    )
    reference: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9_]{0,63})?$",
        description="openai: a field of the request that the provider shows again in its list, to find jobs by",
        examples=["user"],
    )
    jobs: int = Field(3, ge=1, le=1000, description="jobs at the provider at once, over all workers")
    max_items: int = Field(10, ge=1, le=1_000_000, description="items that a batch may have")
    poll_s: float = Field(
        5.0, gt=0, le=600, description="seconds until a job is first checked; the interval grows to six times that"
    )
    deadline_s: float = Field(
        1800.0,
        ge=1,
        le=86_400,
        description="time after which an unfinished job is cancelled, and its item fails",
    )
    timeout_s: float = Field(30.0, gt=0, le=120, description="seconds for one call of the provider, downloads aside")
    settle_s: float = Field(
        60.0, ge=0, le=3600, description="time to search the provider's list for a job that may have been created"
    )
    uncertain: Literal["review", "create"] = Field(
        "review",
        description="consequence when such a job is not found: the item fails as needs_review, or the job is created, "
        "perhaps a second time",
    )
    price_per_second: float | None = Field(
        None, ge=0, le=1_000_000, description="price of a second of video, for `cost`", examples=["0.1"]
    )
    max_cost: float | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="sum that one batch may cost by that price; no job is created beyond it",
        examples=["25"],
    )
    max_bytes: int = Field(
        512 * 2**20, ge=1000, le=50 * 2**30, description="largest size of a clip; a larger one is not stored"
    )
    download_s: float = Field(240.0, gt=0, le=280, description="seconds for the download of a clip")
    store: str = Field(
        default_factory=lambda: f"{os.environ.get('BATCHYARD_HOME') or '~/.batchyard'}/videos",
        description="where clips are stored: a folder, or s3://bucket/prefix; default: videos below BATCHYARD_HOME, "
        "which is .batchyard with `batchyard up`",
        examples=["s3://clips/batchyard"],
    )
    s3_url: str = Field("", description="S3-compatible service; empty: AWS", examples=["https://minio:9000"])
    s3_key_id: str = Field(
        "", description="its access key; empty: as the AWS tools find it", examples=["the-key-id-of-the-account"]
    )
    s3_secret: SecretStr = Field(
        SecretStr(""), description="its secret key", examples=["the-secret-key-of-the-service"]
    )
    s3_region: str = Field("us-east-1", description="its region")
    allowed_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="private networks that clips may be fetched from: CIDRs, comma-separated",
        examples=["10.1.0.0/16"],
    )

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value) if isinstance(value, str) else value

    @field_validator("url", "s3_url")
    @classmethod
    def _plain(cls, text: str) -> str:
        url = URL(text)
        if text and (url.scheme not in ("http", "https") or not url.host or url.user or url.query_string):
            raise ValueError("it is no address: write it as in https://api.example.com/v1")
        return text.rstrip("/")

    @field_validator("store")
    @classmethod
    def _known_store(cls, text: str) -> str:
        return check_place(text)

    @property
    def base_url(self) -> str:
        """Base address of the provider."""
        return self.url or (REPLICATE_URL if self.provider == "replicate" else "")

    @property
    def place(self) -> StorePlace:
        """Place of the store."""
        return StorePlace(self.store, self.s3_url, self.s3_key_id, self.s3_secret, self.s3_region)

    def missing(self) -> str | None:
        """Return the required setting that is missing; None if there is none."""
        if self.provider == "local":
            return None
        needed = {"URL": self.base_url}
        if self.base_url.startswith("https:"):
            needed["KEY"] = self.key.get_secret_value()
        if self.provider == "replicate":
            needed["MODEL"] = self.model
        absent = [PREFIX + name for name, value in needed.items() if not value]
        if not absent and self.max_cost is not None and self.price_per_second is None:
            return f"{PREFIX}MAX_COST needs {PREFIX}PRICE_PER_SECOND."
        if not absent:
            return None
        verb = "is" if len(absent) == 1 else "are"
        return f"Its workers ask {self.provider} for clips, but {' and '.join(absent)} {verb} not set there."
