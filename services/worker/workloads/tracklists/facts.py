"""Facts that stand beside the rows of a tracklist page: date, duration, the site's own count, recordings elsewhere."""

import re
from datetime import date
from typing import Literal

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
_IDED = re.compile(r"\bIDed\b\s*:?\s*(?:(?P<count>\d{1,5})|(?P<all>all)\b)", re.IGNORECASE)
_DURATION = re.compile(
    r"\bDuration\b\s*:?\s*(?:(?P<clock>\d{1,3}(?::[0-5]\d){1,2})|(?:(?P<h>\d{1,2})\s*h\w*)?\s*(?:(?P<m>\d{1,4})\s*m\w*)?)",
    re.IGNORECASE,
)


def recording_date(published: str, title: str) -> date | None:
    """The day of the recording: the page's own statement, else the date that ends the title."""
    at_end = _DATE_AT_END.search(title)
    for text in (published[:10], at_end[1] if at_end else ""):
        try:
            return date.fromisoformat(text)
        except ValueError:
            continue
    return None


def side_facts(document: LexborHTMLParser) -> tuple[int | Literal["all"] | None, int | None]:
    """Read how many tracks the site calls identified, and the set's duration in seconds; None where it does not say."""
    label = document.css_first('div[title="tracklist recording date"]')
    block = label
    while block is not None and "sTab" not in (block.attributes.get("class") or "").split():
        block = block.parent
    block = block or label
    text = clean(block.text(separator=" ")) if block is not None else ""
    ided = _IDED.search(text)
    stated: int | Literal["all"] | None = None
    if ided is not None:
        stated = "all" if ided["all"] else int(ided["count"])
    return stated, _duration(text)


def set_media(document: LexborHTMLParser) -> tuple[Media, ...]:
    """Recordings of the whole set."""
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
    return (int(match["h"] or 0) * 60 + int(match["m"] or 0)) * 60 or None
