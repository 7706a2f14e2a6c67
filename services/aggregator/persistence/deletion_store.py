"""The statements that delete what is recorded of a batch."""

from shared.artefacts.results import ResultStore
from shared.postgres.deletions import Plans, Step
from shared.postgres.queries import load_queries

SQL = load_queries("services.aggregator.persistence", "deletions.sql")
_TABLES = ("outcomes", "earlier_outcomes", "completions", "failures", "causes", "attempts", "summaries")
_RECORDED: list[Step] = [(table, SQL[f"delete_{table}"]) for table in _TABLES]
_OF_THE_BATCH: list[Step] = [(table, SQL[f"delete_{table}"]) for table in ("samples", "outbox")]


def plans(results: ResultStore | None) -> Plans:
    """Return the tables with rows of a batch, and the files of its results. Its own row stays: without what it said, if
    the batch was deleted."""
    files: list[Step] = [] if results is None else [("stored_results", results.delete)]
    return {"outcomes": [*_RECORDED, *files], "batch": [*_RECORDED, *_OF_THE_BATCH, *files]}
