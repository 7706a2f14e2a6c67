"""Tells in words what services deleted."""

from collections.abc import Iterator, Mapping

from services.cli.rendering.counted import counted

_NOUNS = {
    "api_keys": ("API key", "API keys"),
    "attempts": ("failed attempt", "failed attempts"),
    "audit": ("audit entry", "audit entries"),
    "batch_actions": ("action on many batches", "actions on many batches"),
    "batches": ("batch", "batches"),
    "causes": ("cause of failures", "causes of failures"),
    "deliveries": ("delivery", "deliveries"),
    "failures": ("failure", "failures"),
    "follow_ups": ("follow-up", "follow-ups"),
    "outcomes": ("outcome", "outcomes"),
    "owner_limits": ("limit", "limits"),
    "retention_rules": ("retention rule", "retention rules"),
    "schedules": ("schedule", "schedules"),
    "summaries": ("summary", "summaries"),
    "templates": ("template", "templates"),
}
"""Tables with rows that a user knows, and how these are called."""


def deleted_lines(deleted: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield a line for each service that says what it deleted. Rows that no user knows are other records."""
    for service, tables in deleted.items():
        parts = [counted(number, *_NOUNS[table]) for table, number in tables.items() if table in _NOUNS and number]
        if others := sum(number for table, number in tables.items() if table not in _NOUNS):
            parts.append(counted(others, "other record"))
        yield f"{service}: {', '.join(parts) or 'nothing'}"
