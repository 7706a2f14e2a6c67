"""Reading tracklist pages: the forms they had over the years, and each of their traps."""

from collections.abc import Callable

import pytest

from services.worker.workloads.tracklists.gates import Refusal
from services.worker.workloads.tracklists.model import Media, Tracklist
from services.worker.workloads.tracklists.page import MAX_ROWS, parse
from tests.support.tracklist_pages import FORMS, Form, render
from tests.support.tracklist_sets import DjSet, make_set, with_backward_cue, with_hard_names, without_cues

ORIGIN = "http://127.0.0.1:8801"


def read(html: str) -> Tracklist:
    got = parse(html)
    assert isinstance(got, Tracklist), got
    return got


def refused(html: str) -> Refusal:
    got = parse(html)
    assert isinstance(got, Refusal), got
    return got


def row(
    index: int,
    shown: str = "Some Artist - Some Title",
    *,
    micro: str = "",
    flags: str = 'data-isided="true"',
    classes: str = "",
    number: str = "01",
    cue: str = "",
    hidden: str | None = None,
    extra: str = "",
) -> str:
    """One row in the smallest true shape; `micro` is the microdata within the content cell."""
    field = f'<input id="tlp{500 + index}_cue_seconds" type="hidden" value="{hidden}">' if hidden is not None else ""
    return (
        f'<div id="tlp_{500 + index}" class="tlpTog bItm tlpItem {classes}" data-trno="{index}" {flags}>'
        f'{field}<span id="tlp{index}_tracknumber_value" class="fontXL"> {number} </span>'
        f'<div id="cue_{500 + index}" class="cue noWrap action mt5">{cue}</div>'
        f'<div id="tlp{index}_content" class="fontL">{micro}<span class="trackValue">{shown}</span>{extra}</div></div>'
    )


def page(*rows: str, script: str = "", metas: str = "", head: str = "", attributes: str = 'data-id="9demo123"') -> str:
    return (
        f"<html><head><title>DJ Example @ Demo Hall, Nowhere 2026-05-16</title>{head}</head><body>"
        f'<div id="tlTab" {attributes}>{metas}{"".join(rows)}</div><script>{script}</script></body></html>'
    )


def entry(seconds: float, *indexes: int) -> str:
    ids = "".join(f"cueValuesEntry.ids[{n}] = 'tlp{index}_content';" for n, index in enumerate(indexes))
    return f"cueValuesEntry = {{}}; cueValuesEntry.seconds = {seconds}; cueValuesEntry.number = '1'; {ids}"


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("change", [lambda s: s, without_cues, with_backward_cue, with_hard_names])
@pytest.mark.parametrize("identity", ["ok000001", "ok000002", "ok000003"])
def test_every_form_of_page_gives_the_set_it_shows(form: Form, change: Callable[[DjSet], DjSet], identity: str) -> None:
    made = change(make_set(identity))

    got = read(render(made, form, ORIGIN))

    assert (got.id, got.title, got.djs, got.event, got.date) == (made.id, made.title, made.djs, made.event, made.date)
    assert got.url.startswith(f"{ORIGIN}/tracklist/{identity}/")
    assert got.genres == (made.genres if form.metas else ())
    assert got.duration_seconds == made.duration // 60 * 60
    assert got.stated_identified == made.identified
    assert got.media == (
        Media(source="youtube", id=f"77{len(made.rows)}"),
        Media(source="other:40", id=f"88{len(made.rows)}"),
    )
    assert [
        (t.artist, t.title, t.identification, t.with_previous, t.cue_seconds, t.label, t.mashup, t.media_id)
        for t in got.tracks
    ] == [
        (r.artist, r.full_title, r.level, r.together, r.cue, r.label, r.mashup, str(r.media) if r.media else None)
        for r in made.rows
    ]
    assert [t.position for t in got.tracks] == list(range(1, len(made.rows) + 1))


@pytest.mark.parametrize("stated", [0, 1, 2, 31])
def test_counts_that_the_page_states_are_not_believed(stated: int) -> None:
    html = page(
        row(0),
        metas=f'<meta itemprop="numTracks" content="{stated}">',
        attributes=f'data-id="a1" data-count="{stated}"',
    )

    assert len(read(html).tracks) == 1


@pytest.mark.parametrize(
    ("shown", "flags", "level"),
    [
        ("Some Artist - Some Title", 'data-isided="true"', "identified"),
        ("ID - ID", "", "unknown"),
        ("ID - ID", 'data-isid="true"', "unknown"),
        ("Some Artist - ID", "", "partial"),
        ("Some Artist - Some Title (ID Remix)", "", "partial"),
        ("Some Artist - Some Title", "", "partial"),
    ],
)
def test_the_flag_and_not_the_text_says_what_is_identified(shown: str, flags: str, level: str) -> None:
    assert read(page(row(0), row(1, shown, flags=flags))).tracks[1].identification == level


@pytest.mark.parametrize(
    ("shown", "level"),
    [
        ("Some Artist - Some Title", "identified"),
        ("Some Artist - ID", "partial"),
        ("Some Artist - Some Title (ID Remix)", "partial"),
        ("ID - ID", "unknown"),
    ],
)
def test_the_text_decides_where_a_page_sets_no_flags(shown: str, level: str) -> None:
    assert read(page(row(0, shown, flags=""))).tracks[0].identification == level


def test_a_suffix_outside_the_name_belongs_to_the_title() -> None:
    html = page(row(0), row(1, "Some Artist - Song", extra='<span class="trackEditData"> (ID Remix)</span>', flags=""))

    assert read(html).tracks[1].title == "Song (ID Remix)"
    assert read(html).tracks[1].identification == "partial"


def test_artist_and_title_part_at_the_first_dash() -> None:
    track = read(page(row(0, "Some Artist - One - Two"))).tracks[0]

    assert (track.artist, track.title) == ("Some Artist", "One - Two")


def test_names_are_decoded_once_and_set_on_one_line() -> None:
    track = read(page(row(0, "Alpha &amp;\n Beta&nbsp;&amp;amp; Co - First\x01 Light"))).tracks[0]

    assert (track.artist, track.title) == ("Alpha & Beta &amp; Co", "First Light")


def test_microdata_serves_where_no_name_is_shown() -> None:
    micro = '<meta itemprop="name" content="Alpha &amp; Beta - First Light">'
    track = read(page(row(0, "", micro=micro))).tracks[0]

    assert (track.artist, track.title) == ("Alpha & Beta", "First Light")


def test_a_name_without_a_dash_takes_its_artist_from_the_microdata() -> None:
    track = read(page(row(0, "First Light", micro='<meta itemprop="byArtist" content="Alpha">'))).tracks[0]

    assert (track.artist, track.title) == ("Alpha", "First Light")


def test_markup_escaped_in_the_publisher_is_read_as_a_label_and_never_shown() -> None:
    micro = '<meta itemprop="publisher" content="&lt;a href=&quot;/label/9x&quot;&gt;Demo &amp;amp; Sons&lt;/a&gt;">'

    assert read(page(row(0, micro=micro))).tracks[0].label == "Demo & Sons"


def test_played_together_is_the_class_con_as_a_word_of_its_own() -> None:
    html = page(row(0), row(1, classes="con", number="w/"), row(2, classes="container"))

    assert [t.with_previous for t in read(html).tracks] == [False, True, False]


def test_the_first_row_is_played_with_nothing() -> None:
    assert not read(page(row(0, classes="con", number="w/"))).tracks[0].with_previous


def cues(html: str) -> list[float | None]:
    return [t.cue_seconds for t in read(html).tracks]


def test_the_script_is_believed_before_the_text_and_the_text_before_the_field() -> None:
    script = entry(0, 0) + entry(227, 1)
    html = page(
        row(0),
        row(1, cue="09:59", hidden="999"),
        row(2, cue="05:00", hidden="999"),
        row(3, hidden="400"),
        script=script,
    )

    assert cues(html) == [0, 227, 300, 400]


def test_hours_are_read() -> None:
    assert cues(page(row(0, cue="59:59"), row(1, cue="1:16:30"))) == [3599, 4590]


def test_a_set_without_cues_has_none_although_its_script_says_that_row_1_starts_at_0() -> None:
    assert cues(page(row(0, hidden="0"), row(1, hidden="0"), script=entry(0, 0))) == [None, None]


def test_the_first_row_starts_at_0_once_another_row_has_a_cue() -> None:
    assert cues(page(row(0, hidden="0"), row(1, cue="03:47"))) == [0, 227]


def test_a_first_row_of_which_nothing_is_said_has_no_cue() -> None:
    assert cues(page(row(0), row(1, cue="03:47"))) == [None, 227]


def test_rows_after_the_last_cue_have_none_and_not_0() -> None:
    html = page(row(0, hidden="0"), row(1, cue="03:47"), row(2, hidden="0"), script=entry(0, 0) + entry(0, 2))

    assert cues(html) == [0, 227, None]


def test_rows_played_together_share_their_entry() -> None:
    html = page(
        row(0),
        row(1, classes="con"),
        row(2),
        row(3, classes="con"),
        row(4, classes="con"),
        script=entry(0, 0, 1) + entry(60, 2, 3),
    )

    assert cues(html) == [0, 0, 60, 60, None]


@pytest.mark.parametrize("cue", ["99:99", "1:2:3:4", "soon", "-1:00", "4:7", "99:59:59"])
def test_a_cue_that_is_no_time_of_a_set_is_no_cue(cue: str) -> None:
    assert cues(page(row(0, hidden="0"), row(1, cue="03:47"), row(2, cue=cue))) == [0, 227, None]


def test_a_good_page_with_turnstile_markup_is_read() -> None:
    assert len(read(page(row(0), head='<div id="turnstile-container"></div>')).tracks) == 1


def test_rows_without_any_name_make_the_whole_page_fail() -> None:
    refusal = refused(page(row(0), row(1, ""), row(2)))

    assert (refusal.code, refusal.scope) == ("parse_failed", "item")
    assert "1 of 3 rows, the first in place 2" in refusal.message


def test_a_page_without_playlist_facts_is_told_by_its_title() -> None:
    got = read(page(row(0)))

    assert (got.djs, got.event, str(got.date)) == (("DJ Example",), "Demo Hall, Nowhere", "2026-05-16")


def test_facts_of_rows_are_not_taken_for_the_playlists() -> None:
    micro = '<meta itemprop="name" content="Some Artist - Some Title"><meta itemprop="genre" content="Polka">'

    assert read(page(row(0, micro=micro), metas='<meta itemprop="genre" content="House">')).genres == ("House",)


@pytest.mark.parametrize(
    ("text", "stated"), [("IDed 28 / 30", 28), ("IDed all", 2), ("IDed: all / 2", 2), ("Views 30", None)]
)
def test_the_sites_own_count_of_identified_tracks(text: str, stated: int | None) -> None:
    side = f'<div class="sTab"><div title="tracklist recording date">TL Date</div><div>{text}</div></div>'

    assert read(page(row(0), row(1), head=side)).stated_identified == stated


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h 30m", 5400), ("58m", 3480), ("1:02:03", 3723), ("2h", 7200), ("long", None), ("", None)]
)
def test_the_duration_of_the_set(text: str, seconds: int | None) -> None:
    side = f'<div title="tracklist recording date"><div class="sTab">Duration <b>{text}</b></div></div>'

    assert read(page(row(0), head=side)).duration_seconds == seconds


def test_links_lead_to_the_site_alone() -> None:
    here = row(0, micro='<meta itemprop="url" content="/track/aaa111/x/index.html">')
    away = row(1, micro='<meta itemprop="url" content="//evil.example/track">')
    script = row(2, micro='<meta itemprop="url" content="javascript:alert(1)">')

    assert [t.url for t in read(page(here, away, script)).tracks] == [
        "https://www.1001tracklists.com/track/aaa111/x/index.html",
        None,
        None,
    ]


def test_too_many_rows_are_refused() -> None:
    assert refused(page(*(row(n) for n in range(MAX_ROWS + 1)))).code == "too_many_rows"


@pytest.mark.parametrize("markup", ["<div>" * 600, "".join(f"<b id={n}>" for n in range(60)) + "</p><p>x" * 9])
def test_html_that_nests_without_measure_is_not_parsed(markup: str) -> None:
    assert refused(markup + page(row(0))).code == "page_too_complex"


def test_html_that_closes_what_it_opens_may_be_long() -> None:
    assert len(read("<div><b>x</b><p>y<li>z</div>" * 20_000 + page(row(0))).tracks) == 1


@pytest.mark.parametrize("html", ["", " ", "<", "\x00", "{}", "<html><body>", "plain text " * 50])
def test_a_body_that_is_no_page_is_refused(html: str) -> None:
    refusal = refused(html)

    assert (refusal.code, refusal.recheck) == ("invalid_response", True)
