"""Which partition an item belongs to, by what its workload's manifest says."""

import json
from typing import Any
from urllib.parse import urlsplit

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import Partition

MAX_PARTITION = 255
"""Characters of a partition's name."""


class Partitions:
    """The rule of one workload, compiled once."""

    def __init__(self, rule: Partition | None) -> None:
        self._pointer = CompiledPointer(rule.pointer) if rule else None
        self._by_host = rule is not None and rule.by == "host"

    def of(self, payload: Any) -> str:
        """The destination that the item goes to; empty when the workload or the item names none."""
        if self._pointer is None:
            return ""
        value = self._pointer.find(payload)
        if isinstance(value, str):
            name = _host(value) if self._by_host else value
        elif value is MISSING or value is None or self._by_host or isinstance(value, dict | list):
            return ""
        else:
            name = json.dumps(value)
        return name[:MAX_PARTITION]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
