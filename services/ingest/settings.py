"""What ingest reads from the environment, beside what every service reads."""

from typing import Annotated

from pydantic import Field, SecretStr

from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, Owner
from shared.runtime.settings import Settings


class IngestSettings(Settings):
    """Where the HTTP door stands, and who may come in."""

    http_host: str = Field("127.0.0.1", description="where the HTTP API is served")
    http_port: int = Field(8000, ge=0, le=65535, description="0: any free port, named in the log")
    api_tokens: dict[Owner, Annotated[SecretStr, Field(min_length=16)]] = Field(
        {}, description='owner -> bearer token, as JSON; empty: no token is asked for and everybody is "default"'
    )
    operators: set[Owner] = Field(
        set(), description="owners that may work dead letters, as JSON; without tokens everybody may"
    )
    max_sockets: int = Field(1000, ge=1, description="WebSockets that may be open at once")
    max_backlog: int = Field(
        10_000, ge=1, description="commands that may wait for the broker before new ones are refused"
    )
    max_waiting_per_owner: int = Field(
        2_000_000, ge=MAX_ITEMS_PER_COMMAND, description="items of one owner that may wait; past it submitters get 429"
    )
    max_waiting: int = Field(
        10_000_000, ge=MAX_ITEMS_PER_COMMAND, description="items of all owners that may wait; past it they get 429"
    )
    unsealed_idle_s: float = Field(
        86_400, ge=1, description="seconds without a new item after which a batch that was never sealed is stopped"
    )
