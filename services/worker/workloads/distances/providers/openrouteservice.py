"""Client of the matrix of openrouteservice: longitude first; a used-up day's quota is a 403, a minute's a 429."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from batchyard_contracts.workload import Permanent, RateLimited, Transient
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Place
from services.worker.workloads.distances.providers import grid
from services.worker.workloads.distances.providers.http import MatrixClient, MatrixReply, failure
from services.worker.workloads.distances.providers.provider import (
    NOT_ROUTABLE,
    TOO_LARGE,
    Matrix,
    PairRefused,
    PlaceRefused,
    too_far,
)

PROFILES: dict[TravelMode, str] = {"driving": "driving-car", "cycling": "cycling-regular", "walking": "foot-walking"}
MAX_CELLS = 3500
QUOTA_PAUSE_S = 3600.0
"""Pause after the quota of the last 24 hours is used up; part of it is free again after an hour."""
_TOO_LARGE, _TOO_FAR, _NO_POINT, _UNKNOWN = 6004, 6020, 6010, 6099
_INDEX = re.compile(r"(?:location|coordinate)[^\d]{0,40}?(\d{1,6})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OpenRouteService:
    """Client of the public service or of an own server."""

    client: MatrixClient
    key: SecretStr
    snap_m: int
    max_cells: int = MAX_CELLS
    name = "openrouteservice"

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call. The quota counts calls, not cells."""
        return MatrixLimits(self.max_cells, self.max_cells + 1, fill=0.02)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Request one matrix."""
        places = [*origins, *destinations]
        body = {
            "locations": [[place.lon, place.lat] for place in places],
            "sources": list(range(len(origins))),
            "destinations": list(range(len(origins), len(places))),
            "metrics": ["duration", "distance"],
            "units": "m",
        }
        key = self.key.get_secret_value()
        path = f"/v2/matrix/{PROFILES[mode]}"
        reply = await self.client.ask("POST", path, body, {"Authorization": key} if key else None)
        document = reply.document if isinstance(reply.document, dict) else {}
        if reply.status == 200:
            table = (document.get("durations"), document.get("distances"))
            ways = grid.routes(self.name, *table, len(origins), len(destinations))
            snapped = document.get("sources"), document.get("destinations")
            return grid.without_far_places(ways, *snapped, "snapped_distance", self.snap_m)
        raise self._refusal(reply, document.get("error"), places)

    def _refusal(self, reply: MatrixReply, error: object, places: Sequence[Place]) -> Exception:
        code = error.get("code") if isinstance(error, dict) else None
        said = str(error.get("message") or "") if isinstance(error, dict) else str(error or "")
        if code == _TOO_LARGE:
            return PairRefused(TOO_LARGE)
        if code == _TOO_FAR:
            return PairRefused(too_far(said))
        if code == _NO_POINT:
            place = _named(said, places)
            return PairRefused(NOT_ROUTABLE) if place is None else PlaceRefused(place)
        if code == _UNKNOWN:
            return Transient("http_500", f"openrouteservice answered: {said[:300]}")
        if reply.status == 403 and reply.headers.get("x-ratelimit-remaining") == "0":
            return RateLimited(reply.retry_after_s or QUOTA_PAUSE_S, "openrouteservice: the day's quota is used up.")
        if isinstance(code, int) and 6000 <= code < 6100:
            return Permanent(f"ors_{code}", f"openrouteservice answered: {said[:300]}")
        return failure(self.name, reply, said)


def _named(said: str, places: Sequence[Place]) -> Place | None:
    found = _INDEX.search(said)
    return places[int(found[1])] if found and int(found[1]) < len(places) else None
