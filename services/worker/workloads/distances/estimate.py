"""The embedded provider: what a way is likely to be, from the line between its ends. No road was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.worker.workloads.distances import geodesic
from services.worker.workloads.distances.places import Leg, Way
from services.worker.workloads.distances.settings import DistancesSettings

NAME: Final = "geodesic"
_KMH: Final = 3.6


@dataclass(frozen=True, slots=True)
class Estimates:
    """Geodesic times road factor, at the mean speed of the mode."""

    settings: DistancesSettings

    def ways(self, legs: Sequence[Leg]) -> list[Way]:
        """A way for each leg."""
        metres = geodesic.distances(legs) * self.settings.road_factor
        slowness = {mode: _KMH / self.settings.kmh(mode) for mode in {leg.mode for leg in legs}}
        return [
            Way(round(length), round(length * slowness[leg.mode]))
            for leg, length in zip(legs, metres.tolist(), strict=True)
        ]

    def fastest_s(self, legs: Sequence[Leg]) -> list[float]:
        """Seconds that each leg takes at the very least: straight, and at the highest speed of its mode."""
        metres = geodesic.distances(legs).tolist()
        return [length * _KMH / self._fastest_kmh(leg) for leg, length in zip(legs, metres, strict=True)]

    def _fastest_kmh(self, leg: Leg) -> float:
        """On foot and by bicycle, twice the mean is out of reach."""
        return self.settings.fastest_kmh if leg.mode == "driving" else 2 * self.settings.kmh(leg.mode)
