"""Items and results of the tracklists workload, and the contents of a page."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_HTML_CHARS = 1024 * 1024
MAX_URL_CHARS = 2048

Identification = Literal["identified", "partial", "unknown"]
"""Identification of a track: artist and title known, a part known ("Artist - ID"), or nothing known ("ID - ID")."""


class TracklistItem(BaseModel):
    """A page to read: its address, or its HTML as somebody saved it.

    A saved page needs no address, since it names its own. An address given with it puts the item under that host's
    rate.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"anyOf": [{"required": ["url"]}, {"required": ["html"]}]}
    )

    url: Annotated[
        str,
        StringConstraints(
            max_length=MAX_URL_CHARS, pattern=r"^https?://[^/?#\s@]+/tracklist/[a-z0-9]{1,32}(/[^/?#\s]*)?$"
        ),
        Field(description="https://www.1001tracklists.com/tracklist/<id>/<slug>.html"),
    ] = ""
    html: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_HTML_CHARS),
        Field(description="The page itself, saved from a browser: then nothing is fetched"),
    ] = ""
    cue_bom: Annotated[
        bool, Field(description="Begin CUE sheets with a byte-order mark, by which some programs know UTF-8")
    ] = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if not self.url and not self.html:
            raise ValueError("give `url`, the page's address, or `html`, the saved page")
        return self


class Track(BaseModel):
    """One row of a tracklist. Times are seconds from the start of the set."""

    model_config = ConfigDict(frozen=True)

    position: int
    """Place on the page, from 1; rows played together are counted."""
    number: str
    """Number as shown: "01", or "w/" for a track played together with the previous one."""
    with_previous: bool = False
    artist: str
    title: str
    identification: Identification
    cue_seconds: float | None = None
    label: str | None = None
    duration_seconds: int | None = None
    genre: str | None = None
    mashup: bool = False
    mashup_of: list[str] = []
    """Tracks that a mashup is made of, as `artist - title`; they are no tracks of their own."""
    track_id: str | None = None
    media_id: str | None = None
    """Number by which the site finds links to players and shops."""
    url: str | None = None


class Media(BaseModel):
    """Recording of the whole set at another site."""

    model_config = ConfigDict(frozen=True)

    source: str
    """`youtube`, `soundcloud`, …; `other:<code>` for a code that is not known."""
    id: str


@dataclass(frozen=True, slots=True)
class Tracklist:
    """Contents of a page."""

    title: str
    tracks: tuple[Track, ...]
    id: str = ""
    url: str = ""
    djs: tuple[str, ...] = ()
    event: str = ""
    date: dt.date | None = None
    genres: tuple[str, ...] = ()
    duration_seconds: int | None = None
    media: tuple[Media, ...] = ()
    stated_identified: int | None = None
    """Number of tracks that the site itself calls identified."""
    stated_tracks: int | None = None
    """Number of tracks by the site's own count."""
    named_rows: int = 0
    """Rows that carry their name twice, for the machine and for the eye …"""
    mismatched_rows: int = 0
    """… and those of them where the two are not the same track."""


class Quality(BaseModel):
    """Quality of a tracklist: 0 to 100, the shares it was made from (0 to 1 each), and why it is not 100."""

    model_config = ConfigDict(frozen=True)

    version: str
    score: float
    components: dict[str, float]
    reasons: list[str]


class TracklistResult(BaseModel):
    """Result of a tracklist: flat fields for one row of a table, then the nested ones."""

    model_config = ConfigDict(frozen=True)

    id: str
    slug: str
    """Text for a file name: at most 100 lower-case letters, digits and dashes."""
    title: str
    dj: str
    event: str
    date: str | None
    genre: str
    url: str
    duration_seconds: int | None
    track_count: int
    identified: int
    partial: int
    unknown: int
    cued: int
    quality_score: float
    quality_version: str
    cue_status: Literal["available", "cue_unavailable"]
    cue_reason: str | None
    """Reason why there is no CUE sheet, as a sentence."""
    cue_warnings: list[str]
    cue: list[str]
    """The text of each CUE sheet; more than one when the set has more than 99 tracks, none without cue times."""
    tracks: list[Track]
    media: list[Media]
    quality: Quality
