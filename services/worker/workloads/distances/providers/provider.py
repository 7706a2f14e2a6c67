"""Interface of matrix services: a block of places in, a way for each pair out, or one of a few errors."""

from collections.abc import Sequence
from typing import Protocol

from batchyard_contracts.workload import Permanent, WorkloadError
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Place, Route

Found = Route | WorkloadError
"""Outcome of a pair: its way, or the error with which it ends."""
Matrix = list[list[Found | None]]
"""A row for each origin, with a cell for each destination; None where the service answered for the others alone."""


class PlaceRefused(Exception):
    """The service knows no road near one of the places, which it names."""

    def __init__(self, place: Place) -> None:
        super().__init__(NOT_ROUTABLE.message)
        self.place = place


class PairRefused(Exception):
    """The service refuses a block for something in it, without saying what; a block of one pair ends as `found`."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found


class ModeRefused(Exception):
    """The service does not compute this mode of travel; the message says what to do."""


NOT_ROUTABLE = Permanent("place_not_routable", "The provider knows no road near one of the two places.")
TOO_LARGE = Permanent(
    "block_refused", "The provider refuses a single pair as too large. Check its limits.", scope="provider"
)


def too_far(said: str) -> Permanent:
    """Return the error of a pair that is farther than the service computes."""
    return Permanent("too_far", f"The provider does not compute a way that is so long: {said[:300]}")


class DistanceProvider(Protocol):
    """Service that computes the ways between some places."""

    name: str

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call."""
        ...

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Return all ways between places. Raises `PlaceRefused`, `PairRefused`, `ModeRefused` or a `WorkloadError`."""
        ...
