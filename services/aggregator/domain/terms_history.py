"""The terms of a batch with the time of each, so that the newest value applies in any order of messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from batchyard_contracts.v1.values import Terms


@dataclass(frozen=True, slots=True)
class TermsHistory:
    """Value and time of each term, by name; the value is None after the term was cleared."""

    entries: Mapping[str, tuple[Any, datetime]] = field(default_factory=dict)

    def merge(self, terms: Terms, clear: Sequence[str], at: datetime) -> "TermsHistory":
        """Apply set and cleared terms, except those that have a newer entry, or one of the same time."""
        values: dict[str, Any] = dict.fromkeys(clear)
        values |= {name: value for name, value in _set_terms(terms).items() if value != {}}
        newer = {name: (v, at) for name, v in values.items() if name not in self.entries or self.entries[name][1] < at}
        return TermsHistory({**self.entries, **newer}) if newer else self

    @property
    def terms(self) -> Terms:
        """Current terms, without those that this version cannot read."""
        values = {name: value for name, (value, _) in self.entries.items() if value is not None}
        try:
            return Terms.model_validate(values)
        except ValidationError:
            return Terms.model_validate({name: value for name, value in values.items() if _is_readable(name, value)})


def _is_readable(name: str, value: Any) -> bool:
    try:
        Terms.model_validate({name: value})
    except ValidationError:
        return False
    return True


def _set_terms(terms: Terms) -> dict[str, Any]:
    return terms.model_dump(mode="json", exclude_none=True)
