"""The dispatcher's settings."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.v1.values import Owner
from shared.runtime.settings import Settings

_HEARTBEATS = 3
"""Number of heartbeats that may be late or lost before their worker counts as lost."""


class DispatcherSettings(Settings):
    """Settings for leases, the liveness of workers and the shares of owners."""

    lease_s: float = Field(
        15.0,
        gt=0,
        le=86_400,
        description="seconds without a heartbeat that names a chunk, after which it is dispatched again; at least "
        "three heartbeats",
    )
    heartbeat_s: float = Field(
        2.0, gt=0, le=3600, description="seconds between two heartbeats; the workers need the same value"
    )
    worker_timeout_s: float = Field(
        10.0,
        gt=0,
        le=86_400,
        description="seconds without a heartbeat after which a worker is lost; at least three heartbeats",
    )
    max_chunk_losses: int = Field(
        3, ge=1, le=100, description="times that a chunk may be lost before it is halved, or its only item fails"
    )
    orphan_days: float = Field(
        30.0,
        gt=0,
        le=36_500,
        description="days for which items are stored whose batch is not known, since its message may be a dead letter "
        "that somebody replays; also those for which deleted batches are remembered",
    )
    owner_weights: dict[Owner, Annotated[float, Field(ge=0.01, le=1000)]] = Field(
        {},
        description="shares of owners that compete for workers, as a JSON object; 1 for all others",
        examples=['{"ann": 2}'],
    )
    lease_keys: SecretStr = Field(
        SecretStr(""),
        description="keys of at least 32 characters, separated by commas, the same for dispatcher and aggregator and "
        "known to no worker: the first signs chunks, and a report needs a signature by any of them; empty: none",
        examples=["a-long-random-text-that-no-worker-knows"],
    )

    @field_validator("lease_keys")
    @classmethod
    def _are_long(cls, keys: SecretStr) -> SecretStr:
        LeaseTokens.parse(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _outlasts_lost_heartbeats(self) -> Self:
        for name in ("lease_s", "worker_timeout_s"):
            if getattr(self, name) < (least := _HEARTBEATS * self.heartbeat_s):
                raise ValueError(
                    f"BATCHYARD_{name.upper()} is {getattr(self, name):g} and must be at least {least:g}, "
                    f"{_HEARTBEATS} times BATCHYARD_HEARTBEAT_S: one late heartbeat is no lost worker."
                )
        return self
