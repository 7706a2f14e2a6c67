"""Memory of the batch that this user submitted last to each address, so that `last` never means somebody else's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.cli.client.variables import STATE_HOME

_MAX_ADDRESSES = 100


def remember(environment: Mapping[str, str], url: str, batch_id: str) -> None:
    """Record a batch as the last one at an address. Raises `OSError` when nothing can be stored."""
    file = _file(environment)
    known = {address: batch for address, batch in _read(file).items() if address != url} | {url: batch_id}
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(dict(list(known.items())[-_MAX_ADDRESSES:])), "utf-8")
    fresh.replace(file)


def recall(environment: Mapping[str, str], url: str) -> str | None:
    """Return the batch that was recorded last for an address; None if none was."""
    return _read(_file(environment)).get(url)


def _file(environment: Mapping[str, str]) -> Path:
    folder = environment.get(STATE_HOME.name) or Path(environment.get("HOME") or "/nonexistent") / ".local" / "state"
    return Path(folder) / "batchyard" / "last.json"


def _read(file: Path) -> dict[str, str]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):  # absent, or not ours
        return {}
    return {str(url): str(batch) for url, batch in document.items()} if isinstance(document, dict) else {}
