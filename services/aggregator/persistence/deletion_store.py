"""The statements that delete what is recorded of a batch."""

from shared.postgres.deletions import Plans
from shared.postgres.queries import load_queries

SQL = load_queries("services.aggregator.persistence", "deletions.sql")
_RECORDED = [(table, SQL[f"delete_{table}"]) for table in ("outcomes", "failures", "causes", "summaries")]
PLANS: Plans = {"outcomes": _RECORDED, "batch": [*_RECORDED, ("outbox", SQL["delete_outbox"])]}
"""Tables with rows of a batch. Its own row stays: without what it said, if the batch was deleted."""
