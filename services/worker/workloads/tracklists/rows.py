"""Reads one row of a tracklist page: names, identification, label and the places that tell its start."""

import re
import unicodedata
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.worker.workloads.tracklists.cue_times import CueSources, clock_seconds, field_seconds, iso_seconds
from services.worker.workloads.tracklists.model import Identification

SITE = "https://www.1001tracklists.com"

_ID_REMIX = re.compile(r"\(\s*ID\b[^)]*\)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,20}")
_PADDED = re.compile(r"(?<=[(\[])\s+|\s+(?=[)\]])")
"""Blanks inside of brackets, which come from a page's markup."""
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the page shows it. `flagged` is the page's own mark for "identified"."""

    content_id: str
    number: str
    together: bool
    artist: str
    title: str
    flagged: bool
    cue: CueSources
    label: str | None
    duration_seconds: int | None
    genre: str | None
    mashup: bool
    track_id: str | None
    media_id: str | None
    url: str | None
    machine_name: str
    shown_name: str
    component: bool = False
    """True for a track that the mashup before it is made of; the page shows it on a click, and does not count it."""

    @property
    def name(self) -> str:
        """Artist and title in one text."""
        return f"{self.artist} - {self.title}" if self.artist else self.title

    @property
    def is_nameless(self) -> bool:
        """Tell whether the row has neither artist nor title: the site has changed the structure of its pages."""
        return not self.artist and not self.title

    @property
    def is_mismatched(self) -> bool:
        """Tell whether the name in the metadata and the visible name are different tracks, not different spellings."""
        return bool(self.machine_name and self.shown_name) and _essence(self.machine_name) != _essence(self.shown_name)

    def identification(self, *, trust_flags: bool) -> Identification:
        """Return the identification. The text decides only if the page sets no flags, because it may look complete."""
        known = (not _is_id(self.artist), not _is_id(self.title))
        complete = self.flagged if trust_flags else all(known) and not _ID_REMIX.search(self.title)
        if complete:
            return "identified"
        return "partial" if any(known) else "unknown"


def read_row(node: LexborNode, cues_by_content: dict[str, float]) -> Row:
    """Read a `div.tlpItem`."""
    content = node.css_first('[id$="_content"]')
    content_id = (content.attributes.get("id") or "") if content is not None else ""
    machine_name = _meta(content, "name")
    shown_name = _text(node.css_first(".trackValue"))
    artist, title = _names(shown_name or machine_name, _meta(content, "byArtist"))
    number = _text(node.css_first('[id$="_tracknumber_value"]'))
    classes = (node.attributes.get("class") or "").split()
    address = _meta(content, "url")
    together = "con" in classes or number == "w/"
    shown_cue = clock_seconds(_text(node.css_first("div.cue")))
    return Row(
        content_id=content_id,
        number=number,
        together=together,
        artist=artist,
        title=_with_status(title, node),
        flagged=node.attributes.get("data-isided") == "true",
        cue=CueSources(
            # The map has one time for all rows that are played together; a time that such a row shows is its own.
            mapped=None if together and shown_cue is not None else cues_by_content.get(content_id),
            shown=shown_cue,
            hidden=field_seconds(_attribute(node.css_first('input[id$="_cue_seconds"]'), "value")),
        ),
        label=_text(node.css_first(".trackLabel")) or _markup_text(_meta(content, "publisher")) or None,
        duration_seconds=iso_seconds(_meta(content, "duration")),
        genre=_meta(content, "genre") or None,
        mashup="data-mashup" in node.attributes or node.css_first(".mashupTrack") is not None,
        track_id=clean(node.attributes.get("data-trackid") or "") or None,
        media_id=_media_id(node),
        url=f"{SITE}{address}" if address.startswith("/") and not address.startswith("//") else None,
        machine_name=machine_name,
        shown_name=shown_name,
        component="data-mashpos" in node.attributes,
    )


def clean(text: str) -> str:
    """Return a text on one line, in which each run of white space and control characters is one space."""
    return _BLANK.sub(" ", text).strip()


def _with_status(title: str, node: LexborNode) -> str:
    """The title with what the page shows beside it, such as "(ID Remix)" or "(Acappella)"."""
    for selector in (".trackEditData", ".trackStatus"):
        status = _text(node.css_first(selector))
        if status and status.casefold() not in title.casefold():
            title = f"{title} {status}".strip()
    return title


def _names(name: str, by_artist: str) -> tuple[str, str]:
    artist, dash, title = name.partition(" - ")
    if dash:
        return artist.strip(), title.strip()
    return (by_artist if name else ""), name


def _is_id(text: str) -> bool:
    return text.strip().upper() in ("", "ID")


def _essence(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


def _meta(content: LexborNode | None, prop: str) -> str:
    return _attribute(content.css_first(f'meta[itemprop="{prop}"]'), "content") if content is not None else ""


def _attribute(node: LexborNode | None, name: str) -> str:
    return _PADDED.sub("", clean(node.attributes.get(name) or "")) if node is not None else ""


def _text(node: LexborNode | None) -> str:
    return _PADDED.sub("", clean(node.text())) if node is not None else ""


def _markup_text(markup: str) -> str:
    """Return the text of escaped markup in an attribute, such as the link to a label."""
    return clean(LexborHTMLParser(markup).text()) if "<" in markup else markup


def _media_id(node: LexborNode) -> str | None:
    number = _attribute(node.css_first("div.mediaRow[data-trackid]"), "data-trackid")
    return number if _NUMBER.fullmatch(number) else None
