"""Items and results of the distances workload: a pair of places, and the distance between them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

TravelMode = Literal["driving", "cycling", "walking"]
Method = Literal["road network", "geodesic estimate"]
"""Method by which a distance was computed: by a router, or from the line between two points on the earth."""
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class DistanceItem(BaseModel):
    """Pair of places in degrees (WGS84): an origin, such as a contractor, and a destination, such as a job."""

    model_config = ConfigDict(extra="forbid")

    origin_lat: Latitude
    origin_lon: Longitude
    destination_lat: Latitude
    destination_lon: Longitude
    contractor: Name | None = None
    job: Name | None = None
    mode: TravelMode = "driving"
    group: Annotated[str, Field(max_length=64)] = ""
    """Group whose pairs are computed together, such as a city, so that they share calls."""


class DistanceResult(BaseModel):
    """Distance and travel time of a pair, if there is a route. `method` tells a router from an estimate."""

    status: Literal["ok", "unreachable"]
    metres: int | None = None
    seconds: int | None = None
    provider: str
    method: Method
    contractor: str | None = None
    job: str | None = None
