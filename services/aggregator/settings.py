"""The aggregator's settings."""

from pydantic import Field, SecretStr, field_validator

from batchyard_contracts.lease_token import LeaseTokens
from shared.artefacts.settings import ResultStoreSettings


class AggregatorSettings(ResultStoreSettings):
    """Settings of the aggregator beside the servers' addresses."""

    database_pool: int = Field(10, ge=1, le=100, description="largest number of PostgreSQL connections of a process")
    aggregator_messages_per_transaction: int = Field(
        64, ge=1, le=1000, description="largest number of messages recorded in one transaction"
    )
    aggregator_linger_ms: float = Field(
        0, ge=0, le=1000, description="milliseconds to wait for more messages of a transaction"
    )
    aggregator_outbox_interval_s: float = Field(
        2, gt=0, le=3600, description="seconds between two searches for unsent messages in the outbox"
    )
    aggregator_reconcile_interval_s: float = Field(
        60, gt=0, le=86_400, description="seconds between two comparisons of counters with rows"
    )
    aggregator_stuck_sweep_s: float = Field(
        4,
        gt=0,
        le=3600,
        description="seconds between two searches for stuck batches, and without a change before",
    )
    aggregator_summary_timeout_s: float = Field(
        60, gt=0, le=1200, description="seconds that a worker may take for a summary, plus 1 s for each 1,000 results"
    )
    aggregator_summary_attempts: int = Field(
        3, ge=1, le=100, description="times that a summary is requested before its batch ends without one"
    )
    aggregator_reconcile_idle_s: float = Field(
        30, ge=0, le=86_400, description="seconds without a change after which a batch is compared"
    )
    deletion_days: float = Field(
        90,
        gt=0,
        le=36_500,
        description="days for which the ids of deleted batches are kept, so that late messages do "
        "not bring them back; give ingest the same value",
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
