"""Jobs of a provider of clips that misbehave as their prompt says; each stand-in shows them in its own shape.

The first word of a prompt chooses the behaviour: `failing`, `failing-once`, `moderated`, `endless`, `forgotten`,
`forgotten-once`, `expired`, `truncated-once`, `page`, `mute` (takes the job, and breaks the connection instead of
answering), `unlisted` (the same, and its list does not show it), `broken` (answers 500, takes nothing), `limited-once`,
`broke`, `refused`, `wrong`, `gone`, `stumbling`, `silent`. `status:WORD` ends with that status; `content:STATUS`
answers the first two calls for the file so; `error:CODE` fails for that reason; `output:SHAPE` gives the file in that
shape. Any other makes a good clip.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from services.worker.workloads.videos import local

FILE = local.render("a stand-in's clip", 1, (16, 16), 1)
MUTE = frozenset({"mute", "unlisted"})


@dataclass(slots=True)
class VideoJob:
    """A job that was created, and so paid for."""

    id: str
    prompt: str
    asked: dict[str, Any]
    created_at: float
    looks: int = 0
    cancelled: bool = False

    @property
    def behaviour(self) -> str:
        """The first word of its prompt."""
        return self.prompt.split()[0]

    def detail(self, kind: str) -> str | None:
        """The part of the behaviour after `kind:`; None where it is of another kind."""
        found, _, detail = self.behaviour.partition(":")
        return detail if found == kind else None


@dataclass(slots=True)
class VideoJobs:
    """All jobs of the provider. `created` counts by prompt, also the jobs whose answer did not come."""

    polls: int = 2
    """Looks until a job has ended."""
    made: dict[str, VideoJob] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """By what was called and the behaviour, as in `create broken`."""
    references: list[str] = field(default_factory=list)

    def called(self, what: str, behaviour: str) -> int:
        """Count the calls, this one included."""
        self.calls[f"{what} {behaviour}"] += 1
        return self.calls[f"{what} {behaviour}"]

    def create(self, prompt: str, asked: dict[str, Any], reference: str) -> VideoJob:
        """Take a job."""
        self.created[prompt] += 1
        self.references.append(reference)
        job = VideoJob(f"video_{len(self.made):04}", prompt, asked, time.time())
        self.made[job.id] = job
        return job

    def look(self, job_id: str) -> tuple[VideoJob, str] | None:
        """A job, and `queued`, `running`, `done`, `failed`, `moderated` or `cancelled`; None if it is not known."""
        job = self.made.get(job_id)
        if job is None:
            return None
        job.looks += 1
        if job.behaviour == "forgotten" or (job.behaviour == "forgotten-once" and job.looks == 1):
            return None
        if job.cancelled:
            return job, "cancelled"
        if job.looks <= self.polls or job.behaviour == "endless":
            return job, "queued" if job.looks == 1 else "running"
        if job.behaviour == "moderated" or job.detail("error"):
            return job, "moderated"
        failing = job.behaviour == "failing" or (job.behaviour == "failing-once" and self.created[job.prompt] == 1)
        return job, "failed" if failing else "done"

    def listed(self) -> list[VideoJob]:
        """Return the jobs of the list, the newest first."""
        return [job for job in reversed(self.made.values()) if job.behaviour != "unlisted"]

    def progress(self, job: VideoJob) -> int:
        """In per cent."""
        return min(99, 100 * job.looks // (self.polls + 1))
