"""OSRM's table service (`GET /table/v1/{profile}/…`): longitude first, 400 for every error, the reason in `code`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from batchyard_contracts.workload import Permanent
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Place
from services.worker.workloads.distances.providers import grid
from services.worker.workloads.distances.providers.http import MatrixClient, failure
from services.worker.workloads.distances.providers.provider import Matrix, PlaceRefused, TooLarge

PROFILES: dict[TravelMode, str] = {"driving": "driving", "cycling": "cycling", "walking": "walking"}
MAX_CELLS = 10_000
"""`--max-table-size` is 100 by default, and its square is what is compared."""
MAX_PLACES = 300
"""Bound that keeps an address below 8 KB: about 22 bytes for a place, and 4 for its index."""
_NUMBER = re.compile(r"coordinate (\d{1,6})\b")


@dataclass(frozen=True, slots=True)
class Osrm:
    """Client of an osrm-routed server."""

    client: MatrixClient
    max_cells: int = MAX_CELLS
    name = "osrm"

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call. Its cost follows the number of places, so that blocks need not be full."""
        return MatrixLimits(self.max_cells, MAX_PLACES, fill=0.01)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Request one table."""
        places = [*origins, *destinations]
        points = ";".join(f"{_plain(place.lon)},{_plain(place.lat)}" for place in places)
        sources = ";".join(map(str, range(len(origins))))
        targets = ";".join(map(str, range(len(origins), len(places))))
        query = f"sources={sources}&destinations={targets}&annotations=duration,distance&skip_waypoints=true"
        reply = await self.client.ask("GET", f"/table/v1/{PROFILES[mode]}/{points}?{query}")
        document = reply.document if isinstance(reply.document, dict) else {}
        code, said = document.get("code"), str(document.get("message") or "")
        if reply.status == 200 and code == "Ok":
            table = (document.get("durations"), document.get("distances"))
            return grid.ways(self.name, *table, len(origins), len(destinations))
        if code == "TooBig" or reply.status in (413, 414):
            raise TooLarge
        if code == "NoSegment":
            found = _NUMBER.search(said)
            number = int(found[1]) if found else len(places)
            raise PlaceRefused(places[number] if number < len(places) else None, "OSRM knows no road near it.")
        if code == "NoTable":
            raise Permanent("no_table", "OSRM found no way between any of the places.")
        if reply.status == 400 and code:
            raise Permanent("provider_misconfigured", f"OSRM answered {code}: {said[:300]}", scope="provider")
        raise failure(self.name, reply, said)


def _plain(degrees: float) -> str:
    return f"{degrees:.7f}".rstrip("0").rstrip(".")
