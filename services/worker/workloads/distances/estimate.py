"""The embedded provider: estimates a way from the geodesic between its ends, without any road data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.worker.workloads.distances import geodesic
from services.worker.workloads.distances.places import Leg, Route
from services.worker.workloads.distances.settings import DistancesSettings

NAME: Final = "geodesic"
_KMH: Final = 3.6


@dataclass(frozen=True, slots=True)
class Estimates:
    """Geodesic times road factor, at the mean speed of the mode."""

    settings: DistancesSettings

    def routes(self, legs: Sequence[Leg]) -> list[Route]:
        """Return an estimate for each leg."""
        metres = geodesic.distances(legs) * self.settings.road_factor
        slowness = {mode: _KMH / self.settings.kmh(mode) for mode in {leg.mode for leg in legs}}
        return [
            Route(round(length), round(length * slowness[leg.mode]))
            for leg, length in zip(legs, metres.tolist(), strict=True)
        ]

    def fastest_s(self, legs: Sequence[Leg]) -> list[float]:
        """Return the shortest possible time of each leg in seconds: straight, at the highest speed of its mode."""
        metres = geodesic.distances(legs).tolist()
        return [length * _KMH / self._fastest_kmh(leg) for leg, length in zip(legs, metres, strict=True)]

    def _fastest_kmh(self, leg: Leg) -> float:
        """Return the highest speed of a mode; on foot and by bicycle it is twice the mean."""
        return self.settings.fastest_kmh if leg.mode == "driving" else 2 * self.settings.kmh(leg.mode)
