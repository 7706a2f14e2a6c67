"""Places and ways as plain values, and the pairs that a chunk asks for."""

from dataclasses import dataclass
from typing import NamedTuple

from services.worker.workloads.distances.model import TravelMode


class Place(NamedTuple):
    """A place in degrees, rounded: two that round to the same are one."""

    lat: float
    lon: float

    @classmethod
    def rounded(cls, lat: float, lon: float, decimals: int) -> "Place":
        """The place at so many decimals; 5 are about 1 m, 4 about 11 m. The date line and both zeros have one name."""
        lon = round(lon, decimals) + 0.0
        return cls(round(lat, decimals) + 0.0, 180.0 if lon == -180.0 else lon)


class Leg(NamedTuple):
    """Pair of places whose way is requested, with its mode."""

    origin: Place
    destination: Place
    mode: TravelMode = "driving"


@dataclass(frozen=True, slots=True)
class Way:
    """Length and duration of a way. None in both means that there is no way, which is an answer."""

    metres: int | None = None
    seconds: int | None = None

    @property
    def exists(self) -> bool:
        """Tell whether the destination can be reached."""
        return self.metres is not None


UNREACHABLE = Way()
