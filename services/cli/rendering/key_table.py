"""Draws a list of API keys."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from services.cli.rendering.spans import age
from services.cli.rendering.tables import table_of


def keys_table(keys: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each key."""
    table = table_of("key", "owner", "name", "scopes", "state", "last use")
    for key in keys:
        last_used_at = key.get("last_used_at")
        used = f"{_ago(last_used_at)} from {key.get('last_used_from') or '?'}" if last_used_at else "never"
        table.add_row(key["id"], key["owner"], key["name"], " ".join(key["scopes"]), _state(key), used)
    return table


def _state(key: dict[str, Any]) -> str:
    if revoked_at := key.get("revoked_at"):
        return f"revoked {_ago(revoked_at)}"
    expires_at = key.get("expires_at")
    replaced = f", replaced by {key['replaced_by']}" if key.get("replaced_by") else ""
    if expires_at is None:
        return f"works{replaced}"
    if _time(expires_at) <= datetime.now(UTC):
        return f"expired {_ago(expires_at)}{replaced}"
    return f"works until {_time(expires_at):%Y-%m-%d %H:%M}{replaced}"


def _ago(text: str) -> str:
    return age(datetime.now(UTC) - _time(text))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
