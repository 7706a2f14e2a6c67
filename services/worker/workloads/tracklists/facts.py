"""Reads the facts of a tracklist page beside its rows: date, duration, the site's own count, recordings elsewhere."""

import re
from dataclasses import dataclass
from datetime import date

from selectolax.lexbor import LexborHTMLParser

from services.worker.workloads.tracklists.cue_times import clock_seconds
from services.worker.workloads.tracklists.model import Media
from services.worker.workloads.tracklists.rows import clean

SOURCES = {
    "1": "beatport",
    "2": "apple_music",
    "4": "traxsource",
    "10": "soundcloud",
    "13": "youtube",
    "16": "mixcloud",
    "36": "spotify",
}
MAX_MEDIA = 50

_DATE_AT_END = re.compile(r"(\d{4}-\d{2}-\d{2})\s*$")
_IDED = re.compile(
    r"\bIDed\b\s*:?\s*(?:(?P<count>\d{1,5})|(?P<all>all)\b)(?:\s*/\s*(?P<tracks>\d{1,5}))?", re.IGNORECASE
)
_DURATION = re.compile(
    r"\bDuration\b\s*:?\s*(?:(?P<clock>\d{1,3}(?::[0-5]\d){1,2})|"
    r"(?:(?P<h>\d{1,2})\s*h\w*)?[\s,]*(?:(?P<m>\d{1,4})\s*m\w*)?[\s,]*(?:(?P<s>\d{1,5})\s*s\w*)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SideFacts:
    """Facts that the site states beside the rows; None where it does not say."""

    identified: int | None = None
    all_identified: bool = False
    tracks: int | None = None
    duration_seconds: int | None = None


def recording_date(published: str, title: str) -> date | None:
    """Return the day of the recording: as the page states it, else the date at the end of the title."""
    at_end = _DATE_AT_END.search(title)
    for text in (published[:10], at_end[1] if at_end else ""):
        try:
            return date.fromisoformat(text)
        except ValueError:
            continue
    return None


def side_facts(document: LexborHTMLParser) -> SideFacts:
    """Read how many tracks the site counts and calls identified, and the set's duration in seconds."""
    label = document.css_first('div[title="tracklist recording date"]')
    block = label
    while block is not None and "sTab" not in (block.attributes.get("class") or "").split():
        block = block.parent
    block = block or label
    text = clean(block.text(separator=" ")) if block is not None else ""
    ided = _IDED.search(text)
    if ided is None:
        return SideFacts(duration_seconds=_duration(text))
    tracks = int(ided["tracks"]) if ided["tracks"] else None
    return SideFacts(int(ided["count"]) if ided["count"] else None, bool(ided["all"]), tracks, _duration(text))


def set_media(document: LexborHTMLParser) -> tuple[Media, ...]:
    """Return the recordings of the whole set."""
    nodes = document.css("div.mediaLink[data-idmedia][data-idsource]")[:MAX_MEDIA]
    return tuple(
        Media(source=SOURCES.get(code, f"other:{code}"), id=identity)
        for node in nodes
        if (code := clean(node.attributes.get("data-idsource") or ""))
        and (identity := clean(node.attributes.get("data-idmedia") or ""))
    )


def _duration(text: str) -> int | None:
    match = _DURATION.search(text)
    if match is None:
        return None
    if match["clock"]:
        seconds = clock_seconds(match["clock"])
        return int(seconds) if seconds else None
    return int(match["h"] or 0) * 3600 + int(match["m"] or 0) * 60 + int(match["s"] or 0) or None
