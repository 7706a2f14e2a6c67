"""Reads the HTML of a tracklist page: its rows, or else the kind of page that it is."""

import re
from collections.abc import Sequence
from datetime import date

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.worker.workloads.tracklists.cue_times import cue_map, settle
from services.worker.workloads.tracklists.facts import recording_date, set_media, side_facts
from services.worker.workloads.tracklists.gates import UNTRUSTED, Refusal, classify, is_decoy
from services.worker.workloads.tracklists.model import Track, Tracklist
from services.worker.workloads.tracklists.nesting import is_too_deep
from services.worker.workloads.tracklists.rows import Row, clean, read_row

MAX_ROWS = 1000

_ADDRESS = re.compile(r"https?://[^/\s]+/tracklist/([a-z0-9]{1,32})(?:/[^?#\s]*)?")


def parse(html: str, url: str = "") -> Tracklist | Refusal:
    """Read a page. `url` is where it came from, if known; else the page's own word is taken.

    A page of which some rows cannot be read is refused as a whole (`parse_failed`): half of it would pass for all.
    """
    if is_too_deep(html):
        return Refusal(
            "page_too_complex", "The page nests its elements deeper than any tracklist does; it was not read."
        )
    document = LexborHTMLParser(html)
    tab = document.css_first("#tlTab")
    nodes = (tab.css("div.tlpItem") if tab is not None else []) or document.css("div.tlpItem")
    if not nodes:
        return classify(document, html)
    if len(nodes) > MAX_ROWS:
        return Refusal("too_many_rows", f"The page has {len(nodes)} rows; up to {MAX_ROWS} are read.")
    cues = dict(cue_map(script.text() for script in document.css("script")))
    rows = [read_row(node, cues) for node in nodes]
    if nameless := [index for index, row in enumerate(rows, start=1) if row.is_nameless]:
        return Refusal(
            "parse_failed",
            f"{len(nameless)} of {len(rows)} rows, the first in place {nameless[0]}, have neither artist nor title: "
            "the site's pages have changed and the reader has to follow.",
        )
    named = sum(bool(row.machine_name and row.shown_name) for row in rows)
    mismatched = sum(row.is_mismatched for row in rows)
    if is_decoy(named, mismatched):
        return UNTRUSTED
    if rows[0].component:
        return Refusal("parse_failed", "The first row is a part of a mashup that is not there.")
    return _tracklist(document, tab, rows, url, (named, mismatched))


def _tracklist(
    document: LexborHTMLParser, tab: LexborNode | None, rows: Sequence[Row], url: str, names: tuple[int, int]
) -> Tracklist:
    metas = _playlist_metas(tab)
    title = _first(
        metas.get("name"),
        _content(document, 'meta[property="og:title"]'),
        _text(document, "#pageTitle"),
        _text(document, "title"),
    )
    address = _first([url], _href(document, 'link[rel="canonical"]'), _content(document, 'meta[property="og:url"]'))
    match = _ADDRESS.fullmatch(address)
    identity = _first(
        [clean(tab.attributes.get("data-id") or "")] if tab is not None else [], [match[1]] if match else []
    )
    day = recording_date(_first(metas.get("datePublished")), title)
    facts = side_facts(document)
    tracks = _tracks(rows)
    return Tracklist(
        id=identity if re.fullmatch(r"[a-z0-9]{1,32}", identity) else "",
        url=address if match else "",
        title=title,
        djs=tuple(metas.get("author") or _anchors(document, "/dj/", "/artist/") or _before_at(title)),
        event=", ".join(_anchors(document, "/source/")) or _after_at(title, day),
        date=day,
        genres=tuple(metas.get("genre", [])),
        duration_seconds=facts.duration_seconds,
        media=set_media(document),
        stated_identified=len(tracks) if facts.all_identified else facts.identified,
        stated_tracks=facts.tracks,
        named_rows=names[0],
        mismatched_rows=names[1],
        tracks=tracks,
    )


def _tracks(all_rows: Sequence[Row]) -> tuple[Track, ...]:
    rows: list[Row] = []
    components: list[list[str]] = []
    for row in all_rows:
        if row.component:
            components[-1].append(row.name)
        else:
            rows.append(row)
            components.append([])
    cues = settle([(row.cue, row.together) for row in rows])
    trust_flags = any(row.flagged for row in rows)
    return tuple(
        Track(
            position=position,
            number=row.number,
            with_previous=row.together and position > 1,
            artist=row.artist,
            title=row.title,
            identification=row.identification(trust_flags=trust_flags),
            cue_seconds=cue,
            label=row.label,
            duration_seconds=row.duration_seconds,
            genre=row.genre,
            mashup=row.mashup,
            mashup_of=components[position - 1],
            track_id=row.track_id,
            media_id=row.media_id,
            url=row.url,
        )
        for position, (row, cue) in enumerate(zip(rows, cues, strict=True), start=1)
    )


def _playlist_metas(tab: LexborNode | None) -> dict[str, list[str]]:
    """Values by property of the playlist itself: its direct children, since rows carry the same properties."""
    found: dict[str, list[str]] = {}
    for child in tab.iter() if tab is not None else ():
        if child.tag == "meta" and (value := clean(child.attributes.get("content") or "")):
            found.setdefault(child.attributes.get("itemprop") or "", []).append(value)
    return found


def _anchors(document: LexborHTMLParser, *prefixes: str) -> list[str]:
    selector = ", ".join(f'#pageTitle a[href^="{prefix}"]' for prefix in prefixes)
    return list(dict.fromkeys(name for node in document.css(selector) if (name := clean(node.text()))))


def _before_at(title: str) -> list[str]:
    name, at, _ = title.partition(" @ ")
    return [name] if at else []


def _after_at(title: str, day: date | None) -> str:
    event = title.partition(" @ ")[2]
    return event.removesuffix(day.isoformat()).strip() if day else event


def _text(document: LexborHTMLParser, selector: str) -> list[str]:
    return [clean(node.text()) for node in document.css(selector)]


def _content(document: LexborHTMLParser, selector: str) -> list[str]:
    return [clean(node.attributes.get("content") or "") for node in document.css(selector)]


def _href(document: LexborHTMLParser, selector: str) -> list[str]:
    return [clean(node.attributes.get("href") or "") for node in document.css(selector)]


def _first(*choices: Sequence[str] | None) -> str:
    return next((value for values in choices for value in values or () if value), "")
