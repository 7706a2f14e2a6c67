"""The settings of ingest."""

from typing import Annotated

from pydantic import Field, SecretStr

from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, Owner
from shared.runtime.settings import Settings


class IngestSettings(Settings):
    """Settings for the HTTP API, its tokens, and backpressure."""

    http_host: str = Field("127.0.0.1", description="address on which the HTTP API is served")
    http_port: int = Field(
        8000, ge=0, le=65535, description="port of the HTTP API; 0: a free port, which the log names"
    )
    api_tokens: dict[Owner, Annotated[SecretStr, Field(min_length=16)]] = Field(
        {},
        description="bearer tokens by owner, as a JSON object; empty: none is required, and everybody is the owner "
        '"default"',
        examples=['{"ann": "a-token-of-16-characters-or-more"}'],
    )
    operators: set[Owner] = Field(
        set(),
        description="owners with operator rights, as a JSON list; without tokens every client has them",
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
    max_waiting: int = Field(
        10_000_000,
        ge=MAX_ITEMS_PER_COMMAND,
        le=1_000_000_000,
        description="largest number of waiting items of all owners; beyond it submissions are rejected with 429",
    )
    unsealed_idle_s: float = Field(
        86_400, ge=1, le=31_536_000, description="time without a new item after which an unsealed batch is stopped"
    )
