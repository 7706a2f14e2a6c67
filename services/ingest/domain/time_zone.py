"""Time zones by the data of the package `tzdata`, so that every replica has the same whatever its machine has."""

from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

ZONE_DATA: str = tzdata.IANA_VERSION
"""Version of the data, such as 2026a; a later one sorts after it."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset((files("tzdata") / "zones").read_text("ascii").split())


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return a zone; raises `ValueError` when there is none of this name."""
    if name not in zone_names():
        raise ValueError(f"{name[:50]!r} is no time zone: use a name such as UTC or Europe/Berlin")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)
