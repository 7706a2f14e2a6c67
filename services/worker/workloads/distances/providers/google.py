"""Client of Google's Routes API (`computeRouteMatrix`): each cell is paid for and has its own status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from batchyard_contracts.workload import Permanent, RateLimited
from services.worker.workloads.distances.blocks import MatrixLimits
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import UNREACHABLE, Place, Route
from services.worker.workloads.distances.providers.grid import MOST
from services.worker.workloads.distances.providers.http import MatrixClient, MatrixReply, failure, invalid
from services.worker.workloads.distances.providers.provider import TOO_LARGE, Matrix, PairRefused

MODES: dict[TravelMode, str] = {"driving": "DRIVE", "cycling": "BICYCLE", "walking": "WALK"}
MAX_CELLS = 625
FIELDS = "originIndex,destinationIndex,status,condition,distanceMeters,duration"
"""Fields of a cell that are requested; without `status` a failed cell would look like a result."""
_MINUTE_S = 60.0
_RESOURCE_EXHAUSTED = 8


@dataclass(frozen=True, slots=True)
class Google:
    """Client of the Routes API."""

    client: MatrixClient
    key: SecretStr
    max_cells: int = MAX_CELLS
    name = "google"

    @property
    def limits(self) -> MatrixLimits:
        """Limits of one call. Each cell is paid for, so that only wanted cells are requested."""
        return MatrixLimits(self.max_cells, self.max_cells + 1, fill=1.0)

    async def matrix(self, origins: Sequence[Place], destinations: Sequence[Place], mode: TravelMode) -> Matrix:
        """Request one matrix."""
        body: dict[str, Any] = {
            "origins": [_waypoint(place) for place in origins],
            "destinations": [_waypoint(place) for place in destinations],
            "travelMode": MODES[mode],
        }
        if mode == "driving":
            body["routingPreference"] = "TRAFFIC_UNAWARE"
        headers = {"X-Goog-Api-Key": self.key.get_secret_value(), "X-Goog-FieldMask": FIELDS}
        reply = await self.client.ask("POST", "/distanceMatrix/v2:computeRouteMatrix", body, headers)
        if reply.status != 200 or not isinstance(reply.document, list):
            raise self._refusal(reply)
        matrix: Matrix = [[None] * len(destinations) for _ in origins]
        for cell in reply.document:
            try:
                row, column = int(cell.get("originIndex", 0)), int(cell.get("destinationIndex", 0))
                if row < 0 or column < 0:
                    raise IndexError
                matrix[row][column] = self._way(cell)
            except (AttributeError, IndexError, TypeError, ValueError) as error:
                raise invalid(self.name) from error
        return matrix

    def _way(self, cell: dict[str, Any]) -> Route | None:
        status = cell.get("status") or {}
        if status.get("code") == _RESOURCE_EXHAUSTED:
            raise RateLimited(_MINUTE_S, "google answered that the quota of this minute is used up.")
        if status.get("code"):
            return None
        if cell.get("condition") == "ROUTE_NOT_FOUND":
            return UNREACHABLE
        seconds = float(str(cell["duration"]).removesuffix("s")) if "duration" in cell else 0.0
        metres = int(cell.get("distanceMeters", 0))  # zero is left out of the answer
        if cell.get("condition") != "ROUTE_EXISTS" or not (0 <= seconds <= MOST and 0 <= metres <= MOST):
            raise ValueError
        return Route(metres, round(seconds))

    def _refusal(self, reply: MatrixReply) -> Exception:
        document = reply.document
        if isinstance(document, list) and document:  # errors of streamed answers come inside a list
            document = document[0]
        error = document.get("error") if isinstance(document, dict) else None
        said = str(error.get("message") or "") if isinstance(error, dict) else ""
        if reply.status == 429:
            return RateLimited(reply.retry_after_s or _MINUTE_S, "google answered that the quota is used up.")
        if reply.status == 400 and "element" in said.lower() and "exceed" in said.lower():
            return PairRefused(TOO_LARGE)
        if reply.status == 400:  # a bad key is a bad argument too
            bad_key = "api key" in said.lower()
            return Permanent("provider_refused" if bad_key else "invalid_argument",
                             f"google answered: {said[:300]}", scope="provider" if bad_key else "item")  # fmt: skip
        return failure(self.name, reply, said)


def _waypoint(place: Place) -> dict[str, Any]:
    return {"waypoint": {"location": {"latLng": {"latitude": place.lat, "longitude": place.lon}}}}
