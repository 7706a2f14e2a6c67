"""A small map as OpenStreetMap XML: a town, a road of 600 km that begins in it, and an island without a bridge.

Longitude and latitude are in degrees; one hundredth is about 700 and 1,100 m there.
"""

from collections.abc import Iterator

Point = tuple[float, float]
"""Longitude, latitude."""
TOWN: tuple[Point, ...] = tuple((10.0 + column / 100, 50.0 + row / 100) for row in range(3) for column in range(3))
"""Crossings of the town's streets, three rows of three."""
FAR_END: Point = (18.42, 50.01)
"""End of the long road, 600 km to the east."""
ISLAND: tuple[Point, ...] = ((10.0, 50.3), (10.01, 50.3), (10.01, 50.31), (10.0, 50.31))
WILDERNESS: Point = (13.0, 52.0)
"""Place 220 km from all roads."""
MEADOW: Point = (10.0, 50.06)
"""Place 4 km from the nearest road."""
_EAST_ROW = 5
_LONG_ROAD = tuple((10.02 + step * 0.14, 50.01) for step in range(1, 61))


def map_xml() -> str:
    """Return the map."""
    places = [*TOWN, *_LONG_ROAD, *ISLAND]
    number = {place: index for index, place in enumerate(places, start=1)}
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<osm version="0.6" generator="batchyard-tests">']
    lines += [
        f'<node id="{index}" version="1" timestamp="2026-01-01T00:00:00Z" lat="{lat:.7f}" lon="{lon:.7f}"/>'
        for (lon, lat), index in number.items()
    ]
    for index, (name, kind, along) in enumerate(_ways(), start=1):
        refs = "".join(f'<nd ref="{number[place]}"/>' for place in along)
        tags = f'<tag k="highway" v="{kind}"/><tag k="name" v="{name}"/>'
        lines.append(f'<way id="{index}" version="1" timestamp="2026-01-01T00:00:00Z">{refs}{tags}</way>')
    return "\n".join([*lines, "</osm>"])


def _ways() -> Iterator[tuple[str, str, tuple[Point, ...]]]:
    for index in range(3):
        yield f"Row {index}", "residential", TOWN[3 * index : 3 * index + 3]
        yield f"Column {index}", "residential", TOWN[index::3]
    yield "Long Road", "trunk", (TOWN[_EAST_ROW], *_LONG_ROAD)
    yield "Island", "residential", (*ISLAND, ISLAND[0])
