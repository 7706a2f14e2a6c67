"""Settings of the distances workload: the provider, its key, and the values of estimates."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from services.worker.workloads.distances.model import TravelMode

ProviderName = Literal["geodesic", "osrm", "google", "valhalla", "openrouteservice"]
_DEFAULT_URLS = {"google": "https://routes.googleapis.com", "openrouteservice": "https://api.openrouteservice.org"}
_WEEK_S = 7 * 24 * 3600
PREFIX = "BATCHYARD_DISTANCES_"


class DistancesSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_DISTANCES_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    provider: ProviderName = Field(
        "geodesic", description="provider of distances; geodesic: an estimate, which the worker computes"
    )
    url: str = Field(
        "",
        description="address of the provider; google, openrouteservice: empty for the public one",
        examples=["http://osrm:5000"],
    )
    url_cycling: str = Field(
        "",
        description="osrm: address of the server for cycling; empty: cycling is refused",
        examples=["http://osrm-cycling:5000"],
    )
    url_walking: str = Field(
        "",
        description="osrm: address of the server for walking; empty: walking is refused",
        examples=["http://osrm-walking:5000"],
    )
    key: SecretStr = Field(
        SecretStr(""),
        description="the provider's API key (google, openrouteservice)",
        examples=["the-key-of-the-provider"],
    )
    snap_m: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="metres from a place to a road: a place that is farther from all roads is not routable (osrm, "
        "valhalla, openrouteservice)",
    )
    timeout_s: float = Field(10.0, gt=0, le=100, description="seconds for one call, from connecting to its last byte")
    concurrency: int = Field(
        4, ge=1, le=100, description="largest number of concurrent calls of one worker to the provider"
    )
    max_cells: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="origins times destinations of one call; empty: the provider's default",
        examples=["625"],
    )
    road_factor: float = Field(
        1.3, ge=1, le=5, description="length of a road divided by that of the geodesic, for estimates"
    )
    driving_kmh: float = Field(50.0, gt=0, le=300, description="mean speed of an estimate by car")
    cycling_kmh: float = Field(16.0, gt=0, le=100, description="mean speed of an estimate by bicycle")
    walking_kmh: float = Field(4.8, gt=0, le=20, description="mean speed of an estimate on foot")
    fastest_kmh: float = Field(
        130.0,
        gt=0,
        le=400,
        description="highest speed: recommendations leave out contractors who are too far even at it",
    )
    decimals: int = Field(5, ge=2, le=7, description="decimals that coordinates are rounded to; 5: about 1 m")
    cache_ttl_s: int | None = Field(
        None,
        ge=0,
        le=31_536_000,
        description="time for which answers are cached; 0: not at all; empty: 7 days, answers of google not at all",
        examples=["86400"],
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "DistancesSettings":
        for name in ("url", "url_cycling", "url_walking"):
            url = URL(getattr(self, name))
            if str(url) and (url.scheme not in ("http", "https") or not url.host or url.user or url.query_string):
                raise ValueError(
                    f"{PREFIX}{name.upper()} is not an address: write scheme, host and port, as in http://osrm:5000"
                )
        return self

    @property
    def mode_urls(self) -> dict[TravelMode, str]:
        """Base address for each mode, where a server knows one mode alone; empty: the mode has none."""
        return {
            "driving": self.base_url,
            "cycling": self.url_cycling.rstrip("/"),
            "walking": self.url_walking.rstrip("/"),
        }

    @property
    def source(self) -> str:
        """Text that differs where other ways may be found: another server may know another map."""
        return "\n".join((*self.mode_urls.values(), str(self.snap_m)))

    @property
    def base_url(self) -> str:
        """Base address of the provider, without a slash at the end."""
        return (self.url or _DEFAULT_URLS.get(self.provider, "")).rstrip("/")

    @property
    def ttl_s(self) -> int:
        """Seconds for which an answer is cached; 0: not at all."""
        if self.cache_ttl_s is not None:
            return self.cache_ttl_s
        return 0 if self.provider in ("geodesic", "google") else _WEEK_S

    def kmh(self, mode: TravelMode) -> float:
        """Return the mean speed of an estimate in km/h."""
        return {"driving": self.driving_kmh, "cycling": self.cycling_kmh, "walking": self.walking_kmh}[mode]

    def missing(self) -> str | None:
        """Return the missing setting of the provider; None if nothing is missing."""
        known = any(self.mode_urls.values()) if self.provider == "osrm" else self.base_url
        if not known and self.provider != "geodesic":
            return f"The provider {self.provider} has no address: set {PREFIX}URL of the workers, and restart them."
        public = self.base_url == _DEFAULT_URLS.get(self.provider)
        if public and not self.key.get_secret_value():
            return f"The provider {self.provider} has no key: set {PREFIX}KEY of the workers, and restart them."
        return None
