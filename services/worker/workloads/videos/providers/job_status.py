"""Words by which providers state the status of a job. Pure."""

from services.worker.workloads.videos.providers.provider import JobStatus

_WORDS: dict[JobStatus, str] = {
    "queued": "queued pending starting submitted created accepted scheduled waiting preparing in_queue not_started "
    "throttled validating new",
    "running": "running in_progress processing generating rendering started working active executing uploading "
    "cancelling canceling",
    "succeeded": "succeeded success successful completed complete done finished ready ok",
    "failed": "failed failure error errored aborted expired timeout timed_out rejected moderated blocked nsfw "
    "content_filter content_filtered content_moderated",
    "cancelled": "cancelled canceled stopped deleted",
}
_STATUSES: dict[str, JobStatus] = {word: status for status, words in _WORDS.items() for word in words.split()}


def status_of(word: object) -> JobStatus:
    """Return the status for a provider's word, in any case and with any separator; `unknown` for other words."""
    return _STATUSES.get(str(word or "queued").strip().lower().replace("-", "_").replace(" ", "_"), "unknown")
