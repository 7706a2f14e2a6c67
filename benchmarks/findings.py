"""Everything that was measured, read from the documents under `benchmarks/results/`; what is missing is None."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS, kept

_PARTS = ("comparison", "scale", "limits", "numbers", "rates", "distances", "hostile", "eta")
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """The documents by name, with short access to their values."""

    documents: dict[str, Found]

    @classmethod
    def read(cls, folder: Path = RESULTS) -> "Findings":
        """Return the last written findings."""
        return cls({name: document for name in _PARTS if (document := kept(name, folder)) is not None})

    @property
    def contestants(self) -> dict[str, Found]:
        """Batchyard and its peers, by name."""
        found: dict[str, Found] = self.documents.get("comparison", {}).get("contestants", {})
        return found

    @property
    def left_out(self) -> dict[str, str]:
        """Return the contestants that were not measured, each with the reason."""
        found: dict[str, str] = self.documents.get("comparison", {}).get("left_out", {})
        return found

    def at(self, document: str, *path: str) -> Any:
        """Return the value at this place of a document."""
        found: Any = self.documents.get(document)
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def work(self, contestant: str, work: str, *path: str) -> Any:
        """Return the figures of one contestant with one work."""
        return self.at("comparison", "contestants", contestant, "works", work, *path)

    def rate(self, contestant: str, work: str) -> float | None:
        """Return the median of items a second."""
        rate: float | None = self.work(contestant, work, "items_per_s", "median")
        return rate

    def best_rate(self, contestants: Iterable[str], work: str) -> float | None:
        """Return the figure of the fastest contestant."""
        return max((rate for each in contestants if (rate := self.rate(each, work)) is not None), default=None)

    def per_item_peers(self) -> list[str]:
        """Peers that keep an outcome for each item, as Batchyard does."""
        return [name for name, each in self.contestants.items() if each["kind"] == "per item" and name != "batchyard"]
