"""The terms of a batch as they were told: each with its time, so that the last word on each holds in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batchyard_contracts.v1.values import Terms


@dataclass(frozen=True, slots=True)
class TermsHistory:
    """By the name of a term: its value, None once it was taken back, and when that was entries."""

    entries: Mapping[str, tuple[Any, datetime]] = field(default_factory=dict)

    def merge(self, terms: Terms, clear: Sequence[str], at: datetime) -> "TermsHistory":
        """Take what is set or taken back, unless something newer was entries of it."""
        values: dict[str, Any] = dict.fromkeys(clear)
        values |= {name: value for name, value in _set_terms(terms).items() if value != {}}
        newer = {name: (v, at) for name, v in values.items() if name not in self.entries or self.entries[name][1] <= at}
        return TermsHistory({**self.entries, **newer}) if newer else self

    @property
    def terms(self) -> Terms:
        """What holds now."""
        return Terms.model_validate({name: value for name, (value, _) in self.entries.items() if value is not None})


def _set_terms(terms: Terms) -> dict[str, Any]:
    return terms.model_dump(mode="json", exclude_none=True)
