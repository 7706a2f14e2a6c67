"""The aggregator's settings."""

from pydantic import Field

from shared.runtime.settings import Settings


class AggregatorSettings(Settings):
    """What can be set beside the servers' addresses."""

    database_pool: int = Field(10, ge=1, le=100, description="connections to PostgreSQL that a process may open")
    ledger_messages_at_once: int = Field(64, ge=1, le=1000, description="messages recorded in one transaction")
    ledger_linger_ms: float = Field(0, ge=0, le=1000, description="wait so long for more messages to record together")
    ledger_outbox_sweep_s: float = Field(2, gt=0, le=3600, description="how often to look for messages left behind")
    ledger_reconcile_s: float = Field(60, gt=0, le=86_400, description="how often to compare counters with rows")
    ledger_summary_s: float = Field(
        60, gt=0, le=1200, description="how long a worker may take for a summary, and 1 s more for each 1,000 results"
    )
    ledger_summary_tries: int = Field(3, ge=1, le=100, description="how often a summary is asked for that nobody makes")
    ledger_quiet_s: float = Field(30, ge=0, le=86_400, description="compare batches that had no change for so long")
