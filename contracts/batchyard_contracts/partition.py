"""Partitions of items, by the rules of their workload's manifest.

If several limits have partitions of their own, the name of an item's partition joins their values; the dispatcher
splits the name to enforce each limit.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import Manifest, Partition

MAX_PARTITION = 255
"""Largest number of characters of each part of a partition's name."""
_JOINT = "|"
_MAX_HOST_END = 2000
"""Number of characters of a URL in which its host has to end: the time of splitting can grow by the square of it."""


class Partitioner:
    """Partition rules of one workload, compiled once."""

    def __init__(self, manifest: Manifest) -> None:
        first, *further = [limit.partition for limit in manifest.all_limits()]
        self._parts = [_Part(first) if first else None, *(_Part(partition) for partition in further if partition)]

    def partition_of(self, payload: Any) -> str:
        """Partition of an item; empty if the workload or the item names none."""
        return join([part.value_of(payload) if part else "" for part in self._parts])


class _Part:
    """Rule for one value of a partition's name."""

    def __init__(self, rule: Partition) -> None:
        self._pointer = CompiledPointer(rule.pointer)
        self._by_host = rule.by == "host"

    def value_of(self, payload: Any) -> str:
        """Value in a payload; empty if there is none that can be a name."""
        value = self._pointer.find(payload)
        if isinstance(value, str):
            name = _host(value) if self._by_host else value
        elif value is MISSING or value is None or self._by_host or isinstance(value, dict | list):
            return ""
        else:
            name = json.dumps(value)
        return name[:MAX_PARTITION]


def has_circuit(manifest: Manifest, partition: str) -> bool:
    """True if the provider of a partition has a circuit breaker."""
    rule = manifest.circuit
    if rule is None or not rule.partitions:
        return rule is not None
    return rule.has_circuit(split(partition, 1 + sum(limit.partition is not None for limit in manifest.limits))[0])


def join(parts: Sequence[str]) -> str:
    """Join parts to a partition's name; a single part is its own name."""
    if len(parts) == 1:
        return parts[0]
    return _JOINT.join(part.replace("%", "%25").replace(_JOINT, "%7C") for part in parts)


def split(name: str, count: int) -> tuple[str, ...]:
    """Split a name into `count` parts; missing parts are empty."""

    if count == 1:
        return (name,)
    parts = [part.replace("%7C", _JOINT).replace("%25", "%") for part in name.split(_JOINT, count - 1)]
    return (*parts, *([""] * (count - len(parts))))


def _host(url: str) -> str:
    try:
        return urlsplit(url[:_MAX_HOST_END]).hostname or ""
    except ValueError:
        return ""
