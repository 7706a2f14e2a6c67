"""Writes CUE sheets (the CDRWIN format) for the recording of a tracklist.

Times are mm:ss:ff with 75 frames a second and no hours; a sheet holds tracks 01 to 99 in a row, of which the first
starts at 00:00:00; a quote cannot be written inside a string. Format: https://www.gnu.org/software/ccd2cue/manual/
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from services.worker.workloads.tracklists.model import Track, Tracklist
from services.worker.workloads.tracklists.rows import clean

FRAMES_PER_SECOND = 75
MAX_TRACKS = 99
MAX_FRAMES = 1000 * 60 * FRAMES_PER_SECOND - 1
"""Largest time of a sheet, with three digits of minutes: players read it, although CD burners stop at 99."""
SHORTEST_TRACK_FRAMES = 4 * FRAMES_PER_SECOND

BOM = "\ufeff"
CUE_UNAVAILABLE = "cue_unavailable"


@dataclass(frozen=True, slots=True)
class CueSheets:
    """Texts of the sheets in order, or the reason why there are none. Warnings are for people."""

    sheets: tuple[str, ...] = ()
    reason: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    performer: str
    title: str
    frames: int | None


def cue_sheets(
    tracklist: Tracklist,
    file_name: str,
    *,
    newline: Literal["\r\n", "\n"] = "\r\n",
    max_text: int | None = None,
    bom: bool = False,
) -> CueSheets:
    """Write the sheets for a recording called `file_name`.

    Tracks played together are one entry. Rows without a time are left out, and so are the fewest rows whose removal
    leaves the times growing. A set with more than 99 tracks becomes several sheets for the same file, each after the
    first opening with an entry that stands for what came before. `max_text` cuts titles and performers (80 is the
    limit of CD-TEXT). `bom` begins each sheet with a byte-order mark, without which fre:ac does not read UTF-8.
    """
    entries = _merged(tracklist.tracks)
    timed = [entry for entry in entries if entry.frames is not None and entry.frames <= MAX_FRAMES]
    if not timed:
        return CueSheets(reason="no track of the page has a cue time")
    kept = _growing(timed)
    warnings = _warnings(len(entries) - len(timed), len(timed) - len(kept), kept)
    kept[0] = replace(kept[0], frames=0)
    parts = _parts(kept)
    sheets = tuple(
        BOM * bom
        + newline.join([*_head(tracklist, file_name, number, len(parts), max_text), *_body(part, max_text), ""])
        for number, part in enumerate(parts, start=1)
    )
    return CueSheets(sheets, None, tuple(warnings))


def timestamp(frames: int) -> str:
    """Return a number of frames as `mm:ss:ff`; minutes have a third digit if necessary."""
    seconds, rest = divmod(frames, FRAMES_PER_SECOND)
    return f"{seconds // 60:02d}:{seconds % 60:02d}:{rest:02d}"


def quoted(text: str, max_text: int | None = None) -> str:
    """Return a text as a string of a sheet: on one line, with single quotes, because the format has no escape."""
    return f'"{clean(text).replace(chr(34), chr(39))[:max_text].rstrip()}"'


def _merged(tracks: Sequence[Track]) -> list[_Entry]:
    groups: list[list[Track]] = []
    for track in tracks:
        if track.with_previous and groups:
            groups[-1].append(track)
        else:
            groups.append([track])
    return [
        _Entry(
            " vs. ".join(track.artist or "ID" for track in group),
            " vs. ".join(track.title or "ID" for track in group),
            next((_frames(track.cue_seconds) for track in group if track.cue_seconds is not None), None),
        )
        for group in groups
    ]


def _frames(seconds: float) -> int:
    return math.floor(seconds * FRAMES_PER_SECOND + 0.5)


def _growing(entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the longest series of entries whose times strictly grow; of two with equal times the first stays."""
    tails: list[int] = []
    at_tail: list[int] = []
    before: list[int | None] = []
    for index, entry in enumerate(entries):
        frames = entry.frames or 0
        place = bisect_left(tails, frames)
        before.append(at_tail[place - 1] if place else None)
        if place == len(tails):
            tails.append(frames)
            at_tail.append(index)
        elif frames < tails[place]:
            tails[place] = frames
            at_tail[place] = index
    chosen: list[_Entry] = []
    step: int | None = at_tail[-1]
    while step is not None:
        chosen.append(entries[step])
        step = before[step]
    return chosen[::-1]


def _warnings(untimed: int, disordered: int, kept: Sequence[_Entry]) -> list[str]:
    short = sum(
        (later.frames or 0) - (earlier.frames or 0) < SHORTEST_TRACK_FRAMES for earlier, later in pairwise(kept)
    )
    warnings = []
    if untimed:
        warnings.append(f"{untimed} tracks without a cue time were left out")
    if disordered:
        warnings.append(f"{disordered} tracks were left out: their cue times do not grow")
    if kept[0].frames:
        warnings.append("the first track was moved to the start of the recording")
    if short:
        warnings.append(f"{short} tracks are shorter than 4 seconds; CD burners refuse them")
    return warnings


def _parts(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    parts = [list(entries[:MAX_TRACKS])]
    for start in range(MAX_TRACKS, len(entries), MAX_TRACKS - 1):
        lead_in = _Entry("Various", f"Tracks 1 to {start}: see the sheets before", 0)
        parts.append([lead_in, *entries[start : start + MAX_TRACKS - 1]])
    return parts


def _head(tracklist: Tracklist, file_name: str, number: int, count: int, max_text: int | None) -> list[str]:
    title = " ".join(filter(None, [tracklist.event or tracklist.title, str(tracklist.date or "")]))
    part = f" (part {number} of {count})" if count > 1 else ""
    lines = []
    if tracklist.genres:
        lines.append(f"REM GENRE {quoted(', '.join(tracklist.genres))}")
    if tracklist.date:
        lines.append(f"REM DATE {tracklist.date.isoformat()}")
    if tracklist.url:
        lines.append(f"REM COMMENT {quoted(tracklist.url)}")
    return [
        *lines,
        f"PERFORMER {quoted(' & '.join(tracklist.djs) or 'Unknown', max_text)}",
        f"TITLE {quoted(title + part, max_text)}",
        f"FILE {quoted(file_name)} MP3",
    ]


def _body(entries: Sequence[_Entry], max_text: int | None) -> list[str]:
    lines = []
    for number, entry in enumerate(entries, start=1):
        lines += [
            f"  TRACK {number:02d} AUDIO",
            f"    TITLE {quoted(entry.title, max_text)}",
            f"    PERFORMER {quoted(entry.performer, max_text)}",
            f"    INDEX 01 {timestamp(entry.frames or 0)}",
        ]
    return lines
