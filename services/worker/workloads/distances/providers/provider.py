"""Interface of every matrix service: a block of places in, a way for each pair out, or one of few failures."""

from collections.abc import Sequence
from typing import Protocol

from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Place, Way

Matrix = list[list["Way | None"]]
"""A row for each origin, with a way for each destination; None where the service answered for the others alone."""


class TooLarge(Exception):
    """The service refuses a block of this size; its halves are requested instead."""


class PlaceRefused(Exception):
    """The service knows no road near one of the places, or will not say which (`place` is None)."""

    def __init__(self, place: Place | None, message: str) -> None:
        super().__init__(message)
        self.place = place


class PairRefused(Exception):
    """At least one pair of the block is farther than the service computes; it does not say which."""


class DistanceProvider(Protocol):
    """Service that computes the ways between some places."""

    name: str

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call."""
        ...

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """All ways between some places. Raises `TooLarge`, `PlaceRefused`, `PairRefused` or a `WorkloadError`."""
        ...
