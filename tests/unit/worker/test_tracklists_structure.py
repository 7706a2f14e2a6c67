"""Structure of real pages beyond the plain row: status spans, mashups and their parts, times of `w/` rows, blanks."""

from html import escape

import pytest
from selectolax.lexbor import LexborHTMLParser

from services.worker.workloads.tracklists.cue import BOM
from services.worker.workloads.tracklists.facts import side_facts
from services.worker.workloads.tracklists.gates import Refusal
from services.worker.workloads.tracklists.model import Tracklist
from services.worker.workloads.tracklists.page import parse
from services.worker.workloads.tracklists.result import make_result

HEAD = (
    "<html><head><title>Tester @ Room 2025-01-01</title>"
    '<link rel="canonical" href="https://www.1001tracklists.com/tracklist/aaaaaaa/tester-room-2025-01-01.html"></head>'
    '<body><h1>Tester @ Room 2025-01-01</h1><div class="sTab"><div title="tracklist recording date">2025-01-01</div>'
    "<div>Duration 45 minutes 59 seconds</div><div>IDed 2 / 3</div></div>"
)
COMPONENT = 'data-isided="true" data-mashpos="true"'


def row(
    index: int,
    number: str,
    name: str,
    cue: int | None = None,
    *,
    classes: str = "",
    attributes: str = 'data-isided="true"',
    beside: str = "",
) -> str:
    """One row; `beside` stands behind the name."""
    artist = name.partition(" - ")[0]
    shown = "" if cue is None else f"{cue // 60}:{cue % 60:02d}"
    return (
        f'<div id="tlp_{index}" class="tlpItem {classes}" {attributes} data-trackid="{100 + index}">'
        f'<input id="tlp{index}_cue_seconds" type="hidden" value="{cue or 0}">'
        f'<span id="tlp{index}_tracknumber_value">{number}</span><div class="cue">{shown}</div>'
        f'<div id="tlp{index}_content" itemprop="tracks"><meta itemprop="name" content="{escape(name)}">'
        f'<meta itemprop="byArtist" content="{escape(artist)}"><span class="trackValue">{escape(name)}</span>{beside}'
        "</div></div>"
    )


MASHUP = [
    row(0, "01", "Alpha - One", 0),
    row(1, "02", "Beta vs. Gamma - Two vs. Three", 120, attributes='data-isided="true" data-mashup="true"'),
    row(2, "", "Beta - Two", 0, classes="con tgHid subPos1", attributes=COMPONENT),
    row(3, "", "Gamma - Three", 0, classes="con tgHid subPos1", attributes=COMPONENT),
    row(
        4,
        "03",
        "Delta - Four",
        240,
        attributes='data-isided="false"',
        beside='<span class="italic redTxt trackStatus"> (ID Remix)</span>',
    ),
]


def read(*rows: str) -> Tracklist:
    found = parse(HEAD + "".join(rows) + "</body></html>")
    assert isinstance(found, Tracklist), found
    return found


def test_the_parts_of_a_mashup_are_no_tracks_and_its_status_belongs_to_a_title() -> None:
    result = make_result(read(*MASHUP))
    assert [(track.artist, track.title) for track in result.tracks] == [
        ("Alpha", "One"),
        ("Beta vs. Gamma", "Two vs. Three"),
        ("Delta", "Four (ID Remix)"),
    ]
    assert [track.mashup_of for track in result.tracks] == [[], ["Beta - Two", "Gamma - Three"], []]
    assert (result.track_count, result.identified, result.partial, result.unknown) == (3, 2, 1, 0)
    assert result.duration_seconds == 45 * 60 + 59
    assert not [reason for reason in result.quality.reasons if "the site counts" in reason]
    (sheet,) = result.cue
    entries = [line.strip() for line in sheet.splitlines() if line.startswith("    ")]
    assert entries[3:9] == [
        'TITLE "Two vs. Three"',
        'PERFORMER "Beta vs. Gamma"',
        "INDEX 01 02:00:00",
        'TITLE "Four (ID Remix)"',
        'PERFORMER "Delta"',
        "INDEX 01 04:00:00",
    ]


def test_counts_that_differ_from_the_sites_own_are_a_reason() -> None:
    reasons = make_result(read(*MASHUP[:4])).quality.reasons
    assert "the site counts 3 tracks, 2 were found" in reasons


def test_a_row_played_with_the_previous_one_has_the_time_that_it_shows() -> None:
    rows = [
        row(0, "01", "Alpha - One", 0),
        row(1, "w/", "Beta - Two", 95, classes="con"),
        row(2, "w/", "Gamma - Three", None, classes="con"),
        row(3, "02", "Delta - Four", 240),
    ]
    script = "".join(
        f"cueValuesEntry.seconds = {seconds}; cueValuesEntry.ids[0] = '{first}';" + more
        for seconds, first, more in (
            (10, "tlp0_content", "cueValuesEntry.ids[1] = 'tlp1_content'; cueValuesEntry.ids[2] = 'tlp2_content';"),
            (240, "tlp3_content", ""),
        )
    )
    found = read(*rows, f"<script>{script}</script>")
    assert [track.cue_seconds for track in found.tracks] == [10, 95, 10, 240]


@pytest.mark.parametrize(
    ("shown", "title"),
    [
        ("Alpha - One ( Extended Mix )", "One (Extended Mix)"),
        ("Alpha - One (\n Beta Remix\n)", "One (Beta Remix)"),
        ("Alpha - One [ Label ]", "One [Label]"),
        ("Alpha - One (Beta Remix) (Edit )", "One (Beta Remix) (Edit)"),
    ],
)
def test_blanks_inside_of_brackets_come_from_the_markup(shown: str, title: str) -> None:
    assert read(row(0, "01", shown, 0), row(1, "02", "B - Two", 60)).tracks[0].title == title


def test_a_status_that_the_name_already_has_is_not_repeated() -> None:
    beside = '<span class="trackStatus">(ID Remix)</span>'
    assert read(row(0, "01", "Alpha - One (ID Remix)", 0, beside=beside)).tracks[0].title == "One (ID Remix)"


def test_a_part_of_a_mashup_without_its_mashup_is_no_tracklist() -> None:
    found = parse(HEAD + MASHUP[2] + "</body></html>")
    assert isinstance(found, Refusal)
    assert found.code == "parse_failed"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45 minutes 59 seconds", 2759),
        ("1 hour, 2 minutes, 3 seconds", 3723),
        ("1h 05m", 3900),
        ("59 seconds", 59),
        ("1:02:03", 3723),
        ("unknown", None),
    ],
)
def test_a_duration_is_read_to_the_second(text: str, seconds: int | None) -> None:
    page = f'<div class="sTab"><div title="tracklist recording date">x</div><div>Duration</div><div>{text}</div></div>'
    assert side_facts(LexborHTMLParser(page)).duration_seconds == seconds


def test_cue_sheets_begin_with_a_byte_order_mark_where_that_is_wanted() -> None:
    tracklist = read(*MASHUP)
    (plain,), (marked,) = make_result(tracklist).cue, make_result(tracklist, cue_bom=True).cue
    assert marked == BOM + plain
    assert marked.encode().startswith(b"\xef\xbb\xbfREM")
