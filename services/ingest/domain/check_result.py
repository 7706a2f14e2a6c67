"""Result of the check of a submission: the items that are counted, and all that stands against it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.rejection import Rejection, RejectionList

MAX_FINGERPRINTS = 100_000
"""Items among which duplicates are counted."""
MAX_DESTINATIONS, MAX_UNKNOWN_FIELDS = 1000, 100
"""Destinations, and names of unknown fields, that are counted; further ones are left out."""


@dataclass(slots=True)
class CheckResult:
    """Result of a check, which grows item by item within bounds."""

    properties: frozenset[str] | None = None
    """Names of the fields that the workload knows; None: it takes any."""
    problems: list[Rejection] = field(default_factory=list)
    """Reasons for which the batch as a whole would be refused."""
    rejections: RejectionList = field(default_factory=RejectionList)
    items: int = 0
    size: int = 0
    """Bytes of the payloads of valid items."""
    duplicates: int = 0
    """Items that repeat an earlier one, among the first 100,000."""
    destinations: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    """Number of items by the name of a field that the workload does not know."""
    _fingerprints: set[bytes] = field(default_factory=set)

    @property
    def is_acceptable(self) -> bool:
        """True if the batch would be accepted."""
        return not self.problems and not self.rejections.count

    def add(self, item: ValidatedItem | Rejection, payload: Any) -> None:
        """Count one more item, valid or not."""
        self.items += 1
        if isinstance(item, Rejection):
            self.rejections.add(item)
            return
        self.size += len(item.raw)
        if item.fingerprint is not None:
            if item.fingerprint in self._fingerprints:
                self.duplicates += 1
            elif len(self._fingerprints) < MAX_FINGERPRINTS:
                self._fingerprints.add(item.fingerprint)
        if item.partition:
            _count(self.destinations, item.partition, MAX_DESTINATIONS)
        if self.properties is not None:
            for name in payload.keys() - self.properties:
                _count(self.unknown_fields, name[:100], MAX_UNKNOWN_FIELDS)


def known_properties(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the fields that a schema names; None if it may name others by a pattern, a reference or an alternative."""
    if schema.keys() & {"patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"}:
        return None
    if isinstance(schema.get("additionalProperties"), dict) or "properties" not in schema:
        return None
    return frozenset(schema["properties"])


def _count(counter: Counter[str], name: str, most: int) -> None:
    if name in counter or len(counter) < most:
        counter[name] += 1
