"""Client of Valhalla's `sources_to_targets`: kilometres; a pair without a way is an error of the whole block."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchyard_contracts.workload import Permanent
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import UNREACHABLE, Place
from services.worker.workloads.distances.providers import grid
from services.worker.workloads.distances.providers.http import MatrixClient, failure
from services.worker.workloads.distances.providers.provider import (
    NOT_ROUTABLE,
    TOO_LARGE,
    Matrix,
    PairRefused,
    too_far,
)

COSTINGS: dict[TravelMode, str] = {"driving": "auto", "cycling": "bicycle", "walking": "pedestrian"}
MAX_CELLS = 2500
_TOO_MANY, _TOO_FAR, _NO_EDGE = 150, 154, 171
_NO_WAY = frozenset((170, 441, 442))
"""Codes of an error by which a server says, of a whole block, that it has no way between two of the places. 170 also
stands for a place that has no road within `search_cutoff`."""
_MILES_M = 1609.344


@dataclass(frozen=True, slots=True)
class Valhalla:
    """Client of a Valhalla server."""

    client: MatrixClient
    snap_m: int
    max_cells: int = MAX_CELLS
    name = "valhalla"

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call. Its cost follows the number of places, so that blocks need not be full."""
        return MatrixLimits(self.max_cells, self.max_cells + 1, fill=0.04)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Request one matrix."""
        body = {
            "sources": [self._location(place) for place in origins],
            "targets": [self._location(place) for place in destinations],
            "costing": COSTINGS[mode],
            "units": "kilometers",
            "verbose": False,
        }
        reply = await self.client.ask("POST", "/sources_to_targets", body)
        document = reply.document if isinstance(reply.document, dict) else {}
        table = document.get("sources_to_targets")
        if reply.status == 200 and isinstance(table, dict):
            scale = _MILES_M if document.get("units") == "miles" else 1000.0
            size = len(origins), len(destinations)
            return grid.routes(self.name, table.get("durations"), table.get("distances"), *size, scale=scale)
        code, said = document.get("error_code"), str(document.get("error") or "")
        if code == _TOO_MANY or reply.status == 413:
            raise PairRefused(TOO_LARGE)
        if code == _TOO_FAR:
            raise PairRefused(too_far(said))
        if code in _NO_WAY:
            raise PairRefused(UNREACHABLE)
        if code == _NO_EDGE:
            raise PairRefused(NOT_ROUTABLE)
        if code in (124, 125):
            raise Permanent("provider_misconfigured", f"valhalla answered: {said[:300]}", scope="provider")
        raise failure(self.name, reply, said)

    def _location(self, place: Place) -> dict[str, float]:
        return {"lat": place.lat, "lon": place.lon, "search_cutoff": self.snap_m}
