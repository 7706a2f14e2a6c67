"""Decides which addresses the workload may fetch: nothing unless the operator allows it, and then by exact match."""

import re
from dataclasses import dataclass

from pydantic import JsonValue
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
    """Return the items that cannot run here: addresses that would not be fetched, without a saved page."""
    settings = TracklistsSettings()
    off = f"Pages of {LIVE_HOST} are not fetched unless the workers have BATCHYARD_TRACKLISTS_LIVE=true."
    elsewhere = (
        f"Pages are fetched from {LIVE_ORIGIN}, if the workers have BATCHYARD_TRACKLISTS_LIVE=true, and from the "
        "origins in their BATCHYARD_TRACKLISTS_ORIGINS."
    )
    live, known = _pattern(LIVE_ORIGIN), _pattern(LIVE_ORIGIN, *settings.other_origins)
    refused: list[tuple[str, dict[str, JsonValue]]] = [(elsewhere, {"not": {"pattern": known}})]
    if not settings.live:
        refused.append((off, {"pattern": live}))
    return [
        ItemRefusal(
            item_schema={"properties": {"url": url}, "required": ["url"], "not": {"required": ["html"]}},
            reason=f"{reason} Or send saved pages as `html`.",
        )
        for reason, url in refused
    ]


def _pattern(*origins: str) -> str:
    """Return the pattern of the addresses of these origins, however their host and port are written."""
    return f"^({'|'.join(_origin_pattern(URL(origin)) for origin in origins)})/"


def _origin_pattern(origin: URL) -> str:
    letters = origin.host_subcomponent or ""
    host = "".join(f"[{each}{each.upper()}]" if each.isalpha() else re.escape(each) for each in letters)
    port = f"(:{origin.port})?" if origin.is_default_port() else f":{origin.port}"
    return f"{origin.scheme}://{host}{port}"


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host or "", url.port or 0
