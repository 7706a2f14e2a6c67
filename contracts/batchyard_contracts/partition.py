"""Which partition an item belongs to, by what its workload's manifest says.

Where several limits go by values of their own, a partition's name is made of these values, and is taken apart again by
who enforces the limits.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import Manifest, Partition

MAX_PARTITION = 255
"""Characters of each part of a partition's name."""
_JOINT = "|"


class Partitions:
    """The rule of one workload, compiled once."""

    def __init__(self, manifest: Manifest) -> None:
        first, *further = [limit.partition for limit in manifest.all_limits()]
        self._parts = [_Part(first) if first else None, *(_Part(partition) for partition in further if partition)]

    def of(self, payload: Any) -> str:
        """The destination that the item goes to; empty when the workload or the item names none."""
        return join([part.of(payload) if part else "" for part in self._parts])


class _Part:
    """One of the values that limits go by."""

    def __init__(self, rule: Partition) -> None:
        self._pointer = CompiledPointer(rule.pointer)
        self._by_host = rule.by == "host"

    def of(self, payload: Any) -> str:
        """The value in a payload; empty when there is none that can be a name."""
        value = self._pointer.find(payload)
        if isinstance(value, str):
            name = _host(value) if self._by_host else value
        elif value is MISSING or value is None or self._by_host or isinstance(value, dict | list):
            return ""
        else:
            name = json.dumps(value)
        return name[:MAX_PARTITION]


def has_circuit(manifest: Manifest, partition: str) -> bool:
    """Whether the provider of a partition is left alone when it refuses everything."""
    rule = manifest.circuit
    if rule is None or not rule.partitions:
        return rule is not None
    return rule.holds_for(split(partition, 1 + sum(limit.partition is not None for limit in manifest.limits))[0])


def join(parts: Sequence[str]) -> str:
    """One name; a single part is its own name."""
    if len(parts) == 1:
        return parts[0]
    return _JOINT.join(part.replace("%", "%25").replace(_JOINT, "%7C") for part in parts)


def split(name: str, count: int) -> tuple[str, ...]:
    """The parts of a name that was joined of so many; those that it lacks are empty."""
    if count == 1:
        return (name,)
    parts = [part.replace("%7C", _JOINT).replace("%25", "%") for part in name.split(_JOINT, count - 1)]
    return (*parts, *([""] * (count - len(parts))))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
