"""Scores a tracklist from 0 to 100 by the available information, and lists what is missing."""

from dataclasses import dataclass
from itertools import pairwise

from services.worker.workloads.tracklists.model import Quality, Track, Tracklist

VERSION = "quality_v1"
WEIGHTS = {"identified": 0.45, "cued": 0.25, "monotonic": 0.15, "labelled": 0.10, "linked": 0.05}
"""Weights of the score. `coverage` and `consistent` are reported and have no weight."""

PARTIAL_WORTH = 0.5
MIN_CONSISTENT = 0.5
MAX_GAP_SECONDS = 15 * 60


def score(tracklist: Tracklist) -> Quality:
    """Score a tracklist; `100 * sum(weight * component)`, and 0 where its names contradict each other."""
    tracks = tracklist.tracks
    mains = [track for track in tracks if not track.with_previous]
    cues = [track.cue_seconds for track in mains if track.cue_seconds is not None]
    identified = sum(track.identification == "identified" for track in tracks)
    partial = sum(track.identification == "partial" for track in tracks)
    labelled = sum(track.label is not None for track in tracks if track.identification == "identified")
    linked = sum(track.media_id is not None for track in tracks)
    gaps = _Gaps.of(cues, tracklist.duration_seconds)
    components = {
        "identified": _share(identified + PARTIAL_WORTH * partial, len(tracks)),
        "cued": _share(len(cues), len(mains)),
        "monotonic": 1 - _share(gaps.backwards, len(cues) - 1),
        "labelled": _share(labelled, identified),
        "linked": _share(linked, len(tracks)),
        "consistent": 1 - _share(tracklist.mismatched_rows, tracklist.named_rows),
    }
    if gaps.coverage is not None:
        components["coverage"] = gaps.coverage
    trusted = components["consistent"] >= MIN_CONSISTENT
    total = sum(weight * components[name] for name, weight in WEIGHTS.items()) if trusted else 0.0
    return Quality(
        version=VERSION,
        score=round(100 * total, 1),
        components={name: round(value, 4) for name, value in components.items()},
        reasons=[
            *_naming(tracks, identified, partial, tracklist),
            *_timing(len(mains), len(cues), gaps),
            *_linking(identified - labelled, len(tracks) - linked),
        ],
    )


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Measures of the gaps between consecutive cues. `coverage`: 0 to 1, None where the set's length is unknown."""

    backwards: int
    longest: float
    coverage: float | None

    @classmethod
    def of(cls, cues: list[float], duration: int | None) -> "_Gaps":
        steps = [later - earlier for earlier, later in pairwise(cues)]
        covered = min(1.0, cues[-1] / duration) if cues and duration else None
        return cls(sum(step <= 0 for step in steps), max(steps, default=0.0), covered)


def _naming(tracks: tuple[Track, ...], identified: int, partial: int, tracklist: Tracklist) -> list[str]:
    reasons = []
    if unknown := len(tracks) - identified - partial:
        reasons.append(f"{unknown} of {len(tracks)} tracks are unknown")
    if partial:
        reasons.append(f"{partial} of {len(tracks)} tracks are known in part")
    stated = tracklist.stated_identified
    if stated is not None and stated != identified:
        reasons.append(f"the site counts {stated} identified tracks, {identified} were found")
    if tracklist.stated_tracks is not None and tracklist.stated_tracks != len(tracks):
        reasons.append(f"the site counts {tracklist.stated_tracks} tracks, {len(tracks)} were found")
    if tracklist.mismatched_rows:
        reasons.append(f"{tracklist.mismatched_rows} of {tracklist.named_rows} rows name two different tracks")
    return reasons


def _timing(mains: int, cued: int, gaps: _Gaps) -> list[str]:
    if not cued:
        return ["no track has a cue time"]
    reasons = []
    if cued < mains:
        reasons.append(f"{mains - cued} of {mains} main tracks have no cue time")
    if gaps.backwards:
        reasons.append(f"{gaps.backwards} cue times do not come after the one before")
    if gaps.longest > MAX_GAP_SECONDS:
        reasons.append(f"{gaps.longest / 60:.0f} minutes lie between two cue times")
    return reasons


def _linking(unlabelled: int, unlinked: int) -> list[str]:
    reasons = []
    if unlabelled:
        reasons.append(f"{unlabelled} identified tracks have no label")
    if unlinked:
        reasons.append(f"{unlinked} tracks have no link to a player or shop")
    return reasons


def _share(part: float, whole: int) -> float:
    return part / whole if whole > 0 else 0.0
