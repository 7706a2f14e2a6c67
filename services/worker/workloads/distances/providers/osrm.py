"""Client of OSRM's table service (`GET /table/v1/{profile}/…`): longitude first, each error a 400 with a `code`.

A server knows one mode: it ignores the profile in the path. Unless `radiuses` are given, it moves every place to the
nearest road, however far that is.
"""

import re
from collections.abc import Mapping, Sequence
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
    ModeRefused,
    PairRefused,
    PlaceRefused,
)

MAX_CELLS = 10_000
"""Largest number of cells by default: the square of `--max-table-size`, which is 100."""
MAX_PLACES = 230
"""Bound that keeps an address below 8 KB: about 22 bytes for a place, 4 for its index, and 7 for its radius."""
_NUMBER = re.compile(r"coordinate (\d{1,6})\b")


@dataclass(frozen=True, slots=True)
class Osrm:
    """Client of osrm-routed servers, one for each mode."""

    clients: Mapping[TravelMode, MatrixClient]
    snap_m: int
    max_cells: int = MAX_CELLS
    name = "osrm"

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call. Its cost follows the number of places, so that blocks need not be full."""
        return MatrixLimits(self.max_cells, MAX_PLACES, fill=0.01)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Request one table."""
        client = self.clients.get(mode)
        if client is None:
            raise ModeRefused(f"No OSRM server for {mode} is known: set BATCHYARD_DISTANCES_URL{_SUFFIXES[mode]}.")
        places = [*origins, *destinations]
        points = ";".join(f"{_plain(place.lon)},{_plain(place.lat)}" for place in places)
        sources = ";".join(map(str, range(len(origins))))
        targets = ";".join(map(str, range(len(origins), len(places))))
        radiuses = ";".join([str(self.snap_m)] * len(places))
        query = f"sources={sources}&destinations={targets}&annotations=duration,distance&generate_hints=false"
        reply = await client.ask("GET", f"/table/v1/{mode}/{points}?{query}&radiuses={radiuses}")
        document = reply.document if isinstance(reply.document, dict) else {}
        code, said = document.get("code"), str(document.get("message") or "")
        if reply.status == 200 and code == "Ok":
            table = (document.get("durations"), document.get("distances"))
            ways = grid.routes(self.name, *table, len(origins), len(destinations))
            snapped = document.get("sources"), document.get("destinations")
            return grid.without_far_places(ways, *snapped, "distance", self.snap_m)
        if code == "TooBig" or reply.status in (413, 414):
            raise PairRefused(TOO_LARGE)
        if code == "NoSegment":
            found = _NUMBER.search(said)
            number = int(found[1]) if found else len(places)
            raise PlaceRefused(places[number]) if number < len(places) else PairRefused(NOT_ROUTABLE)
        if code == "NoTable":
            raise PairRefused(UNREACHABLE)
        if reply.status == 400 and code:
            raise Permanent("provider_misconfigured", f"OSRM answered {code}: {said[:300]}", scope="provider")
        raise failure(self.name, reply, said)


_SUFFIXES: dict[TravelMode, str] = {"driving": "", "cycling": "_CYCLING", "walking": "_WALKING"}


def _plain(degrees: float) -> str:
    return f"{degrees:.7f}".rstrip("0").rstrip(".")
