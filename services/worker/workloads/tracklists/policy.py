"""Decides which addresses the workload may fetch: nothing unless the operator allows it, and then by exact match."""

import re
from dataclasses import dataclass
from typing import Any

from yarl import URL

from batchyard_contracts.v1.manifest import Refusal as ItemRefusal
from services.worker.workloads.tracklists.gates import Refusal
from services.worker.workloads.tracklists.settings import LIVE_HOST, TracklistsSettings

LIVE_ORIGIN = f"https://{LIVE_HOST}"

_PATH = re.compile(r"/tracklist/[a-z0-9]{1,32}(/[^/]*)?")


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """The origins that pages may come from, as (scheme, host, port)."""

    origins: frozenset[tuple[str, str, int]]

    @classmethod
    def of(cls, settings: TracklistsSettings) -> "FetchPolicy":
        """Return the policy of the settings."""
        allowed = [*settings.other_origins, *([LIVE_ORIGIN] if settings.live else [])]
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


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host or "", url.port or 0
