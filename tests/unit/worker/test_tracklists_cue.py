"""CUE sheets, held against an independent reader of the format."""

import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.worker.workloads.tracklists.cue import CueSheets, cue_sheets, quoted, timestamp
from services.worker.workloads.tracklists.model import Track, Tracklist

PERFORMERS = st.text(max_size=60)


@dataclass
class Sheet:
    """The tracks that an independent reader finds: (title, performer, frames) of each."""

    title: str
    performer: str
    file: str
    tracks: list[tuple[str, str, int]]


def check(text: str) -> Sheet:
    """Read a sheet line by line as the format is specified, failing at whatever a player may stumble over."""
    assert "\r\n" in text
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    lines = text.split("\r\n")[:-1]
    sheet = Sheet("", "", "", [])
    fields = {"TITLE": "", "PERFORMER": ""}
    for line in lines:
        assert line.count('"') in (0, 2), line
        assert not re.search(r"[\x00-\x1f\x7f\x85]", line), line
        word, _, rest = line.strip().partition(" ")
        match word:
            case "REM":
                assert re.fullmatch(r'(GENRE|COMMENT) "[^"]+"|DATE \d{4}-\d\d-\d\d', rest), line
                assert not sheet.file
            case "TITLE" | "PERFORMER":
                quotes = re.fullmatch(r'"([^"]*)"', rest)
                assert quotes, line
                fields[word] = quotes[1]
            case "FILE":
                file = re.fullmatch(r'"([^"]+)" (WAVE|MP3|AIFF)', rest)
                assert file, line
                assert not sheet.file, "one FILE a sheet"
                sheet.title, sheet.performer, sheet.file = fields["TITLE"], fields["PERFORMER"], file[1]
            case "TRACK":
                number = re.fullmatch(r"(\d\d) AUDIO", rest)
                assert number, line
                assert int(number[1]) == len(sheet.tracks) + 1
                fields = {"TITLE": "", "PERFORMER": ""}
            case "INDEX":
                index = re.fullmatch(r"01 (\d{2,3}):([0-5]\d):([0-7]\d)", rest)
                assert index, line
                minutes, seconds, frames = map(int, index.groups())
                assert frames < 75
                sheet.tracks.append((fields["TITLE"], fields["PERFORMER"], (minutes * 60 + seconds) * 75 + frames))
            case _:
                raise AssertionError(line)
    starts = [frames for _, _, frames in sheet.tracks]
    assert 1 <= len(starts) <= 99
    assert starts[0] == 0
    assert all(earlier < later for earlier, later in pairwise(starts))
    return sheet


def track(cue: float | None, title: str = "Title", artist: str = "Artist", *, together: bool = False) -> Track:
    return Track(
        position=1,
        number="01",
        artist=artist,
        title=title,
        identification="identified",
        cue_seconds=cue,
        with_previous=together,
    )


def write(*tracks: Track, title: str = "Somewhere") -> CueSheets:
    return cue_sheets(Tracklist(title=title, tracks=tracks, djs=("DJ Example",)), "set.mp3")


def only(sheets: CueSheets) -> Sheet:
    (text,) = sheets.sheets
    return check(text)


def test_a_sheet_has_every_line_of_its_tracks() -> None:
    tracklist = Tracklist(
        title="DJ Example @ Demo Festival 2026-05-16",
        tracks=(track(0, "First Light", "Alpha & Beta"), track(4590, "ID", "ID")),
        url="https://www.1001tracklists.com/tracklist/9demo123/x.html",
        djs=("DJ Example",),
        event="Demo Festival",
        date=date(2026, 5, 16),
        genres=("House", "Techno"),
    )

    assert cue_sheets(tracklist, "set.mp3", newline="\n").sheets == (
        'REM GENRE "House, Techno"\n'
        "REM DATE 2026-05-16\n"
        'REM COMMENT "https://www.1001tracklists.com/tracklist/9demo123/x.html"\n'
        'PERFORMER "DJ Example"\n'
        'TITLE "Demo Festival 2026-05-16"\n'
        'FILE "set.mp3" MP3\n'
        "  TRACK 01 AUDIO\n"
        '    TITLE "First Light"\n'
        '    PERFORMER "Alpha & Beta"\n'
        "    INDEX 01 00:00:00\n"
        "  TRACK 02 AUDIO\n"
        '    TITLE "ID"\n'
        '    PERFORMER "ID"\n'
        "    INDEX 01 76:30:00\n",
    )


def test_minutes_take_three_digits_rather_than_hours() -> None:
    assert timestamp((103 * 60 + 20) * 75) == "103:20:00"


def test_without_cue_times_there_is_no_sheet_but_a_reason() -> None:
    sheets = write(track(None), track(None))

    assert sheets.sheets == ()
    assert sheets.reason == "no track of the page has a cue time"


def test_tracks_played_together_are_one_entry() -> None:
    sheet = only(write(track(0, "One", "A"), track(0, "Two", "B", together=True), track(60, "Three", "C")))

    assert sheet.tracks == [("One vs. Two", "A vs. B", 0), ("Three", "C", 60 * 75)]


def test_rows_without_a_time_are_left_out_and_told_of() -> None:
    sheets = write(track(0, "One"), track(None, "Two"), track(60, "Three"))

    assert [title for title, _, _ in only(sheets).tracks] == ["One", "Three"]
    assert sheets.warnings == ("1 tracks without a cue time were left out",)


def test_the_first_track_starts_the_file() -> None:
    sheets = write(track(42, "One"), track(60, "Two"))

    assert [frames for _, _, frames in only(sheets).tracks] == [0, 60 * 75]
    assert sheets.warnings == ("the first track was moved to the start of the recording",)


def test_as_few_times_as_possible_are_dropped_where_they_do_not_grow() -> None:
    sheets = write(
        track(0, "a"), track(9000, "wrong"), track(60, "b"), track(120, "c"), track(120, "same"), track(180, "d")
    )

    assert [title for title, _, _ in only(sheets).tracks] == ["a", "b", "c", "d"]
    assert sheets.warnings == ("2 tracks were left out: their cue times do not grow",)


def test_a_track_too_short_for_a_cd_is_told_of() -> None:
    assert write(track(0), track(3), track(60)).warnings == (
        "1 tracks are shorter than 4 seconds; CD burners refuse them",
    )


def test_99_tracks_are_one_sheet_and_100_are_two() -> None:
    assert len(write(*(track(n * 60) for n in range(99))).sheets) == 1

    first, second = (check(text) for text in write(*(track(n * 60, f"T{n}") for n in range(100))).sheets)

    assert (first.title, second.title) == ("Somewhere (part 1 of 2)", "Somewhere (part 2 of 2)")
    assert [title for title, _, _ in first.tracks] == [f"T{n}" for n in range(99)]
    assert second.tracks == [("Tracks 1 to 99: see the sheets before", "Various", 0), ("T99", "Artist", 99 * 60 * 75)]


def test_every_sheet_of_a_long_set_holds_at_most_99_tracks_and_no_row_is_lost() -> None:
    read = [check(text) for text in write(*(track(n * 60, f"T{n}") for n in range(300))).sheets]

    assert [len(sheet.tracks) for sheet in read] == [99, 99, 99, 6]
    rows = [title for number, sheet in enumerate(read) for title, _, _ in sheet.tracks[1 if number else 0 :]]
    assert rows == [f"T{n}" for n in range(300)]


def test_a_time_within_a_second_is_rounded_to_the_nearest_frame() -> None:
    assert [frames for _, _, frames in only(write(track(0), track(60.01), track(90.006))).tracks] == [0, 4501, 6750]


def test_a_time_beyond_three_digits_of_minutes_is_left_out() -> None:
    assert len(only(write(track(0), track(60), track(1000 * 60))).tracks) == 2


def test_text_can_be_cut_to_what_a_cd_holds() -> None:
    (text,) = cue_sheets(Tracklist(title="x", tracks=(track(0, "T" * 200),)), "set.mp3", max_text=80).sheets

    assert only(CueSheets((text,))).tracks[0][0] == "T" * 80


@given(st.text())
def test_a_string_is_quoted_once_whatever_it_holds(text: str) -> None:
    written = quoted(text)

    assert re.fullmatch(r'"[^"\x00-\x1f\x7f-\x9f]*"', written)
    assert written.encode()


@given(st.integers(min_value=0, max_value=1000 * 60 * 75 - 1))
def test_a_timestamp_tells_the_frames_it_was_made_of(frames: int) -> None:
    minutes, seconds, rest = map(int, timestamp(frames).split(":"))

    assert rest < 75
    assert seconds < 60
    assert (minutes * 60 + seconds) * 75 + rest == frames


@given(
    st.lists(
        st.builds(
            track,
            st.none() | st.floats(min_value=0, max_value=48 * 3600) | st.integers(min_value=0, max_value=600),
            PERFORMERS,
            PERFORMERS,
            together=st.booleans(),
        ),
        min_size=1,
        max_size=250,
    )
)
def test_the_sheets_of_any_page_are_valid(tracks: list[Track]) -> None:
    sheets = write(*tracks)

    read = [check(text) for text in sheets.sheets]

    assert bool(read) == (sheets.reason is None)
    rows = [one for number, sheet in enumerate(read) for one in sheet.tracks[1 if number else 0 :]]
    assert all(earlier[2] < later[2] for earlier, later in pairwise(rows))
    assert all(len(sheet.tracks) == 99 for sheet in read[:-1])


@given(st.lists(st.integers(min_value=1, max_value=900), min_size=1, max_size=300))
def test_times_that_grow_are_all_kept(steps: list[int]) -> None:
    clock, times = 0, [0]
    for step in steps:
        clock += step
        times.append(clock)
    fitting = [time for time in times if time < 60_000]

    sheets = write(*(track(time) for time in times))

    read = [check(text) for text in sheets.sheets]
    assert [t[2] // 75 for n, s in enumerate(read) for t in s.tracks[1 if n else 0 :]] == fitting
