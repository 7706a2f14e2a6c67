"""Makes the workload's result of a tracklist that was read: flat facts, quality, CUE sheets."""

import hashlib
import re
import unicodedata
from collections import Counter

from services.worker.workloads.tracklists.cue import CUE_UNAVAILABLE, cue_sheets
from services.worker.workloads.tracklists.model import Tracklist, TracklistResult
from services.worker.workloads.tracklists.quality import score

MAX_SLUG_CHARS = 100


def make_result(tracklist: Tracklist, *, cue_bom: bool = False) -> TracklistResult:
    """Score the tracklist, write its CUE sheets, and return the result."""
    slug = file_slug(tracklist)
    cue = cue_sheets(tracklist, f"{slug}.mp3", bom=cue_bom)
    quality = score(tracklist)
    levels = Counter(track.identification for track in tracklist.tracks)
    return TracklistResult(
        id=tracklist.id,
        slug=slug,
        title=tracklist.title,
        dj=" & ".join(tracklist.djs),
        event=tracklist.event,
        date=tracklist.date.isoformat() if tracklist.date else None,
        genre=", ".join(tracklist.genres),
        url=tracklist.url,
        duration_seconds=tracklist.duration_seconds,
        track_count=len(tracklist.tracks),
        identified=levels["identified"],
        partial=levels["partial"],
        unknown=levels["unknown"],
        cued=sum(track.cue_seconds is not None for track in tracklist.tracks),
        quality_score=quality.score,
        quality_version=quality.version,
        cue_status="available" if cue.sheets else CUE_UNAVAILABLE,
        cue_reason=cue.reason,
        cue_warnings=list(cue.warnings),
        cue=list(cue.sheets),
        tracks=list(tracklist.tracks),
        media=list(tracklist.media),
        quality=quality,
    )


def file_slug(tracklist: Tracklist) -> str:
    """Return a name for files: the unique id of the site, then the title in plain letters.

    A saved page that does not tell its id is told apart by a digest of its tracks.
    """
    ascii_title = unicodedata.normalize("NFKD", tracklist.title).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_title.lower()).strip("-")
    names = "\n".join(f"{track.artist} - {track.title}" for track in tracklist.tracks)
    identity = tracklist.id or f"page-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    return f"{identity}-{words}"[:MAX_SLUG_CHARS].strip("-")
