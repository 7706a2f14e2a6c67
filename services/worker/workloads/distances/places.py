"""Places, pairs of places, and the ways between them."""

from dataclasses import dataclass
from typing import NamedTuple

from services.worker.workloads.distances.model import TravelMode


class Place(NamedTuple):
    """Place in rounded degrees; places with equal rounded coordinates are equal."""

    lat: float
    lon: float

    @classmethod
    def rounded(cls, lat: float, lon: float, decimals: int) -> "Place":
        """Return the place with so many decimals (5: about 1 m). The date line and zero have one form each."""
        lon = round(lon, decimals) + 0.0
        return cls(round(lat, decimals) + 0.0, 180.0 if lon == -180.0 else lon)


class Leg(NamedTuple):
    """Pair of places whose way is requested, with its mode."""

    origin: Place
    destination: Place
    mode: TravelMode = "driving"


@dataclass(frozen=True, slots=True)
class Route:
    """Length and duration of a way. None in both means that there is no way, which is an answer."""

    metres: int | None = None
    seconds: int | None = None

    @property
    def is_reachable(self) -> bool:
        """Tell whether the destination can be reached."""
        return self.metres is not None


UNREACHABLE = Route()
