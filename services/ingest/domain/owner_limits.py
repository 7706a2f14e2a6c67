"""Limits of one owner."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND

REQUESTS_PERIOD_S = 10
DELIVERIES_PERIOD_S = 3600
DEFAULT_WAITING_ITEMS = 2_000_000
DEFAULT_WAITING_BYTES = 8 * 1024**3

Requests = Annotated[int, Field(ge=1, le=10_000_000, description=f"requests over HTTP in {REQUESTS_PERIOD_S} seconds")]
KeyRequests = Annotated[
    int, Field(ge=1, le=10_000_000, description=f"requests over HTTP with one API key in {REQUESTS_PERIOD_S} seconds")
]
WaitingItems = Annotated[
    int, Field(ge=MAX_ITEMS_PER_COMMAND, le=1_000_000_000, description="items that have not ended yet")
]
WaitingBytes = Annotated[
    int, Field(ge=MAX_MESSAGE_BYTES, le=1024**5, description="bytes of the payloads of items that have not ended yet")
]
Uploads = Annotated[int, Field(ge=1, le=10_000, description="uploads of files at a time")]
Websockets = Annotated[int, Field(ge=1, le=100_000, description="open WebSockets")]
Questions = Annotated[int, Field(ge=1, le=10_000, description="questions to workloads at a time")]
Deliveries = Annotated[
    int, Field(ge=1, le=10_000_000, description="receivers of notifications that new batches name in an hour")
]
Weight = Annotated[float, Field(ge=0.01, le=1000, description="share of the workers among owners who compete for them")]


class OwnerLimits(BaseModel):
    """Limits that hold for an owner, in all processes of ingest together."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer version may have stored more

    requests: Requests = 10_000
    key_requests: KeyRequests = 10_000
    waiting_items: WaitingItems = DEFAULT_WAITING_ITEMS
    waiting_bytes: WaitingBytes = DEFAULT_WAITING_BYTES
    uploads: Uploads = 50
    websockets: Websockets = 500
    questions: Questions = 50
    deliveries: Deliveries = 10_000
    weight: Weight | None = Field(None, description="absent: BATCHYARD_OWNER_WEIGHTS of the dispatcher, or 1")

    def with_changes(self, changes: Mapping[str, Any]) -> "OwnerLimits":
        """Return these limits, changed by those that were set for an owner."""
        return OwnerLimits.model_validate(self.model_dump() | {**changes})


class DefaultLimits(OwnerLimits, extra="forbid"):
    """Limits in a setting, where a misspelt name is an error."""
