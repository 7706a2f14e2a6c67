"""Interface of a provider of clips: create a job, look after it, find it again, fetch, cancel."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aiohttp import ClientResponse

from services.worker.workloads.videos.model import ProviderName, Video

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "unknown"]


class MayExist(Exception):
    """The answer to a call that creates a job is missing, so that the job may exist."""


class NoSuchJob(Exception):
    """The provider does not know the job."""


class NoList(Exception):
    """The provider shows no list of its jobs."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason why a job made no clip. `moderated`: for its content, so that it never will."""

    code: str
    message: str
    moderated: bool = False


@dataclass(frozen=True, slots=True)
class ProviderJob:
    """A job as its provider describes it."""

    id: str
    status: JobStatus
    word: str = ""
    """Status in the provider's own word."""
    progress: float | None = None
    """Completed share, from 0 to 1; None: the provider does not state it."""
    failure: Failure | None = None
    seconds: float | None = None
    size: str | None = None
    model: str | None = None
    address: str | None = field(default=None, repr=False)
    """Address of the file, perhaps a data URI; None: the provider does not state it with the job."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Job to create, or to search for."""

    video: Video
    model: str
    reference: str
    """Reference of this attempt, which no other attempt has."""


class VideoProvider(Protocol):
    """Provider of clips. Every method raises the `WorkloadError` of the item if the provider refuses or is away."""

    @property
    def name(self) -> ProviderName:
        """Name of the provider in results."""

    async def create(self, wanted: JobRequest) -> ProviderJob:
        """Create a job with a single call. Raises `MayExist` if it is unknown whether the job exists."""

    async def look(self, job_id: str) -> ProviderJob:
        """Ask for the state of a job. Raises `NoSuchJob`."""

    async def alike(self, wanted: JobRequest, age_s: float) -> list[str]:
        """Return the jobs that are no older and look like this one. Raises `NoList`."""

    def content(self, job: ProviderJob) -> AbstractAsyncContextManager[ClientResponse]:
        """Open the answer of any status with the file of a job that succeeded."""

    async def cancel(self, job_id: str) -> None:
        """Cancel a job. Raises `NoSuchJob`."""


def text_of(value: Any) -> str | None:
    """Return a text or number of an answer as text."""
    return str(value)[:200] if isinstance(value, str | int | float) and not isinstance(value, bool) else None
