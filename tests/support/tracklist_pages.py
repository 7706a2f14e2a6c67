"""Writes tracklist pages as the real site builds them, in the six forms that its pages had from 2023 to 2026."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from tests.support.tracklist_sets import DjSet, Row

TURNSTILE = (
    '<div id="turnstile-container"></div><script src="https://challenges.cloudflare.com/turnstile/v0/api.js"></script>'
)


@dataclass(frozen=True, slots=True)
class Form:
    """The structure of one generation of pages.

    `heading`: `div` (a div around the h1) or `h1`. `counted`: how far `numTracks` is off the rows.
    `cues`: the places that tell times, of `map`, `shown` and `hidden`.
    """

    heading: str = "h1"
    people: str = "/artist/"
    counted: int = 0
    cues: frozenset[str] = frozenset(("map", "shown", "hidden"))
    marks_unknown: bool = True
    turnstile: bool = False
    metas: bool = True


FORMS = (
    Form(heading="div", people="/dj/", counted=1, marks_unknown=False),
    Form(heading="div", people="/dj/", cues=frozenset(("map", "shown")), marks_unknown=False),
    Form(heading="div", counted=1, cues=frozenset(("map",)), marks_unknown=False),
    Form(),
    Form(counted=1, cues=frozenset(("shown", "hidden")), metas=False),
    Form(turnstile=True, cues=frozenset(("hidden",))),
)

Rename = Callable[[Row], str]


def render(
    made: DjSet, form: Form, origin: str, *, machine_name: Rename = lambda row: row.name, body: str | None = None
) -> str:
    """A whole page. `machine_name` says what the microdata calls a row; `body` replaces the list of tracks."""
    title = escape(made.title)
    anchors = " &amp; ".join(f'<a href="{form.people}{_slug(dj)}/index.html">{escape(dj)}</a>' for dj in made.djs)
    heading = f'{anchors} @ <a href="/source/7demo/{_slug(made.event)}/index.html">{escape(made.event)}</a> {made.date}'
    head = (
        f'<div id="pageTitle"><h1>{heading}</h1></div>'
        if form.heading == "div"
        else f'<h1 id="pageTitle">{heading}</h1>'
    )
    address = f"{origin}/tracklist/{made.id}/{_slug(made.title)}.html"
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta property="og:title" content="{title}"><meta property="og:url" content="{address}">
<link rel="canonical" href="{address}"><meta name="dcterms.created" content="{made.date}T22:00:00+00:00">
<meta name="description" content="{len(made.rows)} tracks"></head><body>{TURNSTILE if form.turnstile else ""}
{head}{_side(made)}{_tab(made, form, machine_name) if body is None else body}
<div class="mediaLink" id="mediaLink0" data-idmedia="77{len(made.rows)}" data-idsource="13"></div>
<div class="mediaLink" id="mediaLink1" data-idmedia="88{len(made.rows)}" data-idsource="40"></div>
</body></html>"""


def _tab(made: DjSet, form: Form, machine_name: Rename) -> str:
    count = len(made.rows)
    metas = ""
    if form.metas:
        metas = f'<meta itemprop="name" content="{escape(made.title)}">'
        metas += f'<meta itemprop="datePublished" content="{made.date}">'
        metas += f'<meta itemprop="numTracks" content="{count + form.counted}">'
        metas += "".join(f'<meta itemprop="genre" content="{escape(genre)}">' for genre in made.genres)
        metas += "".join(f'<meta itemprop="author" content="{escape(dj)}">' for dj in made.djs)
    number, rows = 0, []
    for index, row in enumerate(made.rows):
        number += not row.together
        rows.append(_row(made, index, "w/" if row.together else f"{number:02d}", form, machine_name))
    return (
        f'<div id="tlTab" itemscope itemtype="http://schema.org/MusicPlaylist" data-id="{made.id}" data-islive="true" '
        f'data-count="{count}">{metas}{"".join(rows)}</div>{_script(made) if "map" in form.cues else ""}'
    )


def _row(made: DjSet, index: int, number: str, form: Form, machine_name: Rename) -> str:
    row = made.rows[index]
    identity = 5000 + index
    known = row.level != "unknown"
    state = (
        ' data-isided="true"'
        if row.level == "identified"
        else ' data-isid="true"'
        if form.marks_unknown and not known
        else ""
    )
    state += f' data-trackid="t{index}x"' if known else ""
    state += ' data-mashup="true"' if row.mashup else ""
    hidden = (
        f'<input id="tlp{identity}_cue_seconds" type="hidden" value="{row.cue or 0}">' if "hidden" in form.cues else ""
    )
    shown = _clock(row.cue) if row.cue and "shown" in form.cues else ""
    played = ' title="played together with previous track"' if row.together else ""
    return f"""<div id="tlp_{identity}" class="tlpTog bItm tlpItem trRow{index + 1}{" con" if row.together else ""}" \
data-trno="{index}" data-id="{identity}"{state}><div class="bPlay">{hidden}
<span id="tlp{index}_tracknumber_value" class="fontXL"{played}> {number} </span>
<div id="cue_{identity}" class="cue noWrap action mt5">{shown}</div></div>{_content(row, index, machine_name)}</div>"""


def _content(row: Row, index: int, machine_name: Rename) -> str:
    colour = {"identified": "blueTxt", "partial": "", "unknown": "redTxt"}[row.level] + (
        " mashupTrack" if row.mashup else ""
    )
    suffix = f'<span class="trackEditData"> {escape(row.suffix)}</span>' if row.suffix else ""
    label = f'<span title="label" class="trackLabel noWrap blueTxt">{row.label}</span>' if row.label else ""
    media = f'<div class="mediaRow" data-trackid="{row.media}"><i class="fa fa-spotify"></i></div>' if row.media else ""
    micro, scope = "", ""
    if row.level != "unknown":
        scope = ' itemprop="tracks" itemscope itemtype="http://schema.org/MusicRecording"'
        link = escape(f'<a href="/label/9x/{_slug(row.label or "")}/index.html">{row.label}</a>') if row.label else ""
        micro = f"""<meta itemprop="name" content="{escape(machine_name(row))}"><meta itemprop="byArtist" \
content="{escape(row.artist)}">{f'<meta itemprop="publisher" content="{link}">' if link else ""}\
<meta itemprop="duration" content="PT4M{index % 60}S"><meta itemprop="genre" content="House">\
<meta itemprop="url" content="/track/t{index}x/{_slug(row.name)}/index.html">"""
    return f"""<div id="tlp{index}_content" class="fontL{" bootleg" if row.mashup else ""}"{scope}>{micro}
<span id="tr_t{index}x" class="trackValue notranslate {colour}">{escape(row.name)}</span>{suffix}
<span id="tlp{index}_labeldata">{label}</span>{media}</div>"""


def _script(made: DjSet) -> str:
    """The map of times: an entry for each time, naming the rows that share it; without times it claims 0 for row 1."""
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(made.rows):
        if row.cue is not None:
            groups.setdefault(row.cue, []).append(index)
    lines = []
    for number, (cue, members) in enumerate((groups or {0: [0]}).items(), start=1):
        ids = " ".join(f"cueValuesEntry.ids[{place}] = 'tlp{index}_content';" for place, index in enumerate(members))
        lines.append(
            f"cueValuesEntry = {{}}; cueValuesEntry.seconds = {cue}; cueValuesEntry.number = '{number}'; "
            f"cueValuesEntry.ids = []; {ids} cueValues.push(cueValuesEntry);"
        )
    return "<script>var cueValues = [];\n" + "\n".join(lines) + "</script>"


def _side(made: DjSet) -> str:
    stated = "all" if made.identified == len(made.rows) else f"{made.identified} / {len(made.rows)}"
    hours, minutes = divmod(made.duration // 60, 60)
    return f"""<div class="sTab"><div title="tracklist recording date">TL Date</div><div>{made.date}</div>
<div>Posted by</div><div>somebody</div><div>Views</div><div>5958</div><div>IDed</div><div>{stated}</div>
<div>Duration</div><div>{f"{hours}h {minutes:02d}m" if hours else f"{minutes}m"}</div>
<div>Short link</div><div>1001.tl/{made.id}</div></div><meta itemprop="interactionCount" content="UserLikes:11">"""


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())
