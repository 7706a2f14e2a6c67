"""Decides which addresses the workload may fetch: nothing unless the operator allows it, and then by exact match."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from batchyard_contracts.v1.manifest import Refusal as ItemRefusal
from services.worker.workloads.tracklists.gates import Refusal

LIVE_HOST = "www.1001tracklists.com"
LIVE_ORIGIN = f"https://{LIVE_HOST}"

_PATH = re.compile(r"/tracklist/[a-z0-9]{1,32}(/[^/]*)?")


class TracklistsSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_TRACKLISTS_`."""

    model_config = SettingsConfigDict(env_prefix="BATCHYARD_TRACKLISTS_", env_ignore_empty=True, frozen=True)

    live: bool = Field(False, description=f"fetch pages from {LIVE_HOST}; read the site's terms first")
    origins: str = Field(
        "", description="other origins to fetch from, such as http://127.0.0.1:8801, with commas between"
    )
    timeout_s: float = Field(20.0, gt=0, le=300, description="seconds for one page, from connecting to its last byte")
    contact: str = Field("", max_length=200, pattern=r"^[\x20-\x7e]*$", description="address named in the user agent")

    @field_validator("origins")
    @classmethod
    def _plain_origins(cls, text: str) -> str:
        for part in _parts(text):
            url = URL(part)
            if url.scheme not in ("http", "https") or not url.host or url.user or url.raw_path not in ("", "/"):
                raise ValueError(f"{part!r} is not an origin: write scheme, host and port, as in http://127.0.0.1:8801")
        return text


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """The origins that pages may come from, as (scheme, host, port)."""

    origins: frozenset[tuple[str, str, int]]

    @classmethod
    def of(cls, settings: TracklistsSettings) -> "FetchPolicy":
        """Return the policy of the settings."""
        allowed = [*_parts(settings.origins), *([LIVE_ORIGIN] if settings.live else [])]
        return cls(frozenset(_origin(URL(part)) for part in allowed))

    def refuse(self, url: URL) -> Refusal | None:
        """Return the reason why an address is not fetched; None if it may be."""
        if _origin(url) in self.origins and not url.user and not url.password:
            if _PATH.fullmatch(url.raw_path):
                return None
            return Refusal("url_refused", "The address is not that of a tracklist: /tracklist/<id>/<slug>.html")
        if url.host == LIVE_HOST and url.scheme == "https":
            return Refusal(
                "live_fetch_off",
                f"Pages of {LIVE_HOST} are not fetched unless BATCHYARD_TRACKLISTS_LIVE=true; or send the page's html.",
            )
        return Refusal(
            "host_refused",
            f"Pages are fetched from {LIVE_ORIGIN} (in this form, for one rate limit) and from the origins in "
            "BATCHYARD_TRACKLISTS_ORIGINS, not from elsewhere.",
        )

    def refuse_redirect(self, start: URL, target: URL) -> Refusal | None:
        """Return the reason why a redirect is not followed; None for another tracklist of the same origin."""
        if _origin(start) != _origin(target):
            return Refusal("redirect_refused", "The site sent us to another origin; that is not followed.")
        if not _PATH.fullmatch(target.raw_path):
            return Refusal("not_found", "The site sent us from the tracklist to another page.", recheck=True)
        return self.refuse(target)


def refusals() -> list[ItemRefusal]:
    """Return the items that cannot run here: addresses that would not be fetched."""
    settings = TracklistsSettings()
    reason = f"Pages of {LIVE_HOST} are not fetched unless the workers have BATCHYARD_TRACKLISTS_LIVE=true."
    saved = {"required": ["html"]}
    if settings.live:
        return []
    fetched = {"properties": {"url": {"pattern": f"^{re.escape(LIVE_ORIGIN)}/"}}, "required": ["url"], "not": saved}
    schema: dict[str, Any] = fetched if settings.origins else {"not": saved}
    return [ItemRefusal(item_schema=schema, reason=f"{reason} Or send saved pages as `html`.")]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host or "", url.port or 0
