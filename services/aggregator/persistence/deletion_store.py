"""The statements that delete what is recorded of a batch."""

from shared.postgres.deletions import Plans
from shared.postgres.queries import load_queries

SQL = load_queries("services.aggregator.persistence", "deletions.sql")
_TABLES = ("outcomes", "earlier_outcomes", "completions", "failures", "causes", "attempts", "summaries")
_RECORDED = [(table, SQL[f"delete_{table}"]) for table in _TABLES]
_OF_THE_BATCH = [(table, SQL[f"delete_{table}"]) for table in ("samples", "outbox")]
PLANS: Plans = {"outcomes": _RECORDED, "batch": [*_RECORDED, *_OF_THE_BATCH]}
"""Tables with rows of a batch. Its own row stays: without what it said, if the batch was deleted."""
