"""The quality score and the flat result."""

from string import ascii_lowercase, digits

import pytest

from services.worker.workloads.tracklists.model import Identification, Track, Tracklist
from services.worker.workloads.tracklists.quality import WEIGHTS, score
from services.worker.workloads.tracklists.result import file_slug, make_result


def track(
    level: Identification = "identified",
    cue: float | None = 0,
    *,
    label: str | None = "DEMO REC",
    media: str | None = "1",
    together: bool = False,
) -> Track:
    return Track(
        position=1,
        number="01",
        artist="A",
        title="T",
        identification=level,
        cue_seconds=cue,
        label=label,
        media_id=media,
        with_previous=together,
    )


def perfect(count: int = 4) -> tuple[Track, ...]:
    return tuple(track(cue=n * 300.0) for n in range(count))


def test_a_tracklist_that_lacks_nothing_scores_100_and_gives_no_reasons() -> None:
    quality = score(Tracklist(title="x", tracks=perfect(), duration_seconds=900, stated_identified=4, named_rows=4))

    assert (quality.version, quality.score, quality.reasons) == ("quality_v1", 100.0, [])
    assert quality.components == dict.fromkeys([*WEIGHTS, "consistent", "coverage"], 1.0)


def test_weights_add_up_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("tracks", "component", "value", "total", "reason"),
    [
        ((*perfect(3), track("unknown", 900)), "identified", 0.75, 88.8, "1 of 4 tracks are unknown"),
        ((*perfect(3), track("partial", 900)), "identified", 0.875, 94.4, "1 of 4 tracks are known in part"),
        ((*perfect(3), track(cue=None)), "cued", 0.75, 93.8, "1 of 4 main tracks have no cue time"),
        (
            (*perfect(2), track(cue=100), track(cue=400)),
            "monotonic",
            0.6667,
            95.0,
            "1 cue times do not come after the one before",
        ),
        ((*perfect(3), track(cue=900, label=None)), "labelled", 0.75, 97.5, "1 identified tracks have no label"),
        ((*perfect(3), track(cue=900, media=None)), "linked", 0.75, 98.8, "1 tracks have no link to a player or shop"),
    ],
)
def test_each_lack_costs_its_weight_and_is_named(
    tracks: tuple[Track, ...], component: str, value: float, total: float, reason: str
) -> None:
    quality = score(Tracklist(title="x", tracks=tracks))

    assert quality.components[component] == value
    assert quality.score == pytest.approx(total, abs=0.051)
    assert quality.reasons == [reason]


def test_tracks_played_together_need_no_cue_of_their_own() -> None:
    assert score(Tracklist(title="x", tracks=(*perfect(2), track(cue=None, together=True)))).components["cued"] == 1.0


def test_a_set_without_cues_is_told_so_once() -> None:
    quality = score(Tracklist(title="x", tracks=(track(cue=None), track(cue=None)), duration_seconds=900))

    assert quality.reasons == ["no track has a cue time"]
    assert quality.components["monotonic"] == 1.0
    assert "coverage" not in quality.components


def test_coverage_and_long_gaps_are_reported() -> None:
    quality = score(Tracklist(title="x", tracks=(track(cue=0), track(cue=1800)), duration_seconds=3600))

    assert quality.components["coverage"] == 0.5
    assert quality.reasons == ["30 minutes lie between two cue times"]


def test_a_count_of_the_site_that_disagrees_is_reported() -> None:
    assert score(Tracklist(title="x", tracks=perfect(), stated_identified=3)).reasons == [
        "the site counts 3 identified tracks, 4 were found"
    ]


@pytest.mark.parametrize(("mismatched", "total"), [(2, 100.0), (3, 0.0)])
def test_names_that_contradict_each_other_leave_no_score(mismatched: int, total: float) -> None:
    assert score(Tracklist(title="x", tracks=perfect(), named_rows=4, mismatched_rows=mismatched)).score == total


def test_the_result_is_flat_and_counts_its_tracks() -> None:
    tracks = (track(), track("partial", 60), track("unknown", None), track("identified", 120, together=True))

    result = make_result(
        Tracklist(title="DJ A & DJ B @ Café 2026-05-16", id="9demo123", tracks=tracks, djs=("DJ A", "DJ B"))
    )

    assert (result.dj, result.track_count, result.identified, result.partial, result.unknown) == (
        "DJ A & DJ B",
        4,
        2,
        1,
        1,
    )
    assert (result.cued, result.cue_status, len(result.cue)) == (3, "available", 1)
    assert result.slug == "9demo123-dj-a-dj-b-cafe-2026-05-16"
    assert f'FILE "{result.slug}.mp3" MP3' in result.cue[0]
    assert result.quality_score == result.quality.score


def test_without_cue_times_the_result_says_why_it_has_no_sheet() -> None:
    result = make_result(Tracklist(title="x", tracks=(track(cue=None),)))

    assert (result.cue, result.cue_status, result.cue_reason) == (
        [],
        "cue_unavailable",
        "no track of the page has a cue time",
    )


@pytest.mark.parametrize("title", ["../../etc/passwd", "坂田", "a" * 500, "", 'x"; rm', "CON"])
def test_a_slug_is_a_plain_file_name_and_tells_pages_apart(title: str) -> None:
    slug = file_slug(Tracklist(title=title, tracks=perfect()))
    other = file_slug(Tracklist(title=title, tracks=(*perfect(), track(cue=9))))

    assert set(slug) <= {*ascii_lowercase, *digits, "-"}
    assert 10 < len(slug) <= 100
    assert slug != other
