"""Client of the `/videos` API that OpenAI introduced and others serve: vLLM-Omni, LiteLLM, gateways.

OpenAI's own service was shut down in September 2026, so there is no address unless one is set.
"""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from aiohttp import ClientResponse, FormData

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.model import ProviderName
from services.worker.workloads.videos.providers.client import ProviderAnswer, ProviderClient
from services.worker.workloads.videos.providers.job_status import status_of
from services.worker.workloads.videos.providers.provider import (
    JobRequest,
    MayExist,
    NoList,
    NoSuchJob,
    ProviderJob,
    text_of,
)
from services.worker.workloads.videos.providers.verdict import failure, of_call, of_creation

_PAGE = 100
_PAGES = 10
_SKEW_S = 5.0


class OpenAiDialect:
    """Client of one server."""

    name: ProviderName = "openai"

    def __init__(self, client: ProviderClient, reference: str) -> None:
        """`reference`: a field that the server shows again in its list, if there is one."""
        self._client, self._reference = client, reference

    async def create(self, wanted: JobRequest) -> ProviderJob:
        """Send a form, since not all servers accept JSON; numbers are texts, as the dialect requires."""
        form = FormData(default_to_multipart=True)
        for name, value in self._fields(wanted).items():
            form.add_field(name, value)
        headers = {"Idempotency-Key": f'"{wanted.reference}"'}
        answer = await self._client.create("/videos", headers=headers, data=form)
        if not answer.ok:
            raise of_creation(
                answer.status, answer.headers, answer.body, datetime.now(UTC), named=wanted.video.model is not None
            )
        job = _job(answer.body)
        if job is None:
            raise MayExist("The provider took the job and did not name it.")
        return job

    async def look(self, job_id: str) -> ProviderJob:
        answer = await self._client.ask("GET", f"/videos/{quote(job_id, safe='')}")
        if answer.status in {404, 410}:
            raise NoSuchJob
        job = _job(answer.body) if answer.ok else None
        if not answer.ok:
            raise _refusal(answer)
        if job is None:
            raise Transient("invalid_response", "What the provider says of the job is no description of one.")
        return job

    async def alike(self, wanted: JobRequest, age_s: float) -> list[str]:
        """List jobs from the newest to the requested age, by the server's clock."""
        found: list[str] = []
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            params = {"limit": str(_PAGE), "order": "desc", **after}
            answer = await self._client.ask("GET", "/videos", params=params)
            if answer.status in {404, 405, 501}:
                raise NoList
            if not answer.ok:
                raise _refusal(answer)
            body = answer.body if isinstance(answer.body, dict) else {}
            jobs = [job for job in body.get("data") or [] if isinstance(job, dict) and text_of(job.get("id"))]
            oldest = _now(answer) - age_s - _SKEW_S
            young = [job for job in jobs if _number(job.get("created_at"), oldest) >= oldest]
            found += [str(job["id"]) for job in young if self._looks_like(job, wanted)]
            if len(young) < len(jobs) or not jobs or not body.get("has_more"):
                break
            after = {"after": str(jobs[-1]["id"])}
        return found

    def content(self, job: ProviderJob) -> AbstractAsyncContextManager[ClientResponse]:
        return self._client.fetch(f"/videos/{quote(job.id, safe='')}/content", own=True)

    async def cancel(self, job_id: str) -> None:
        """Delete the job: the dialect has no call that cancels one."""
        answer = await self._client.ask("DELETE", f"/videos/{quote(job_id, safe='')}")
        if answer.status in {404, 410}:
            raise NoSuchJob
        if not answer.ok:
            raise _refusal(answer)

    def _fields(self, wanted: JobRequest) -> dict[str, str]:
        video = wanted.video
        given = {"model": wanted.model or None, "seconds": video.seconds, "size": video.size, "seed": video.seed}
        ours = {name: str(value) for name, value in given.items() if value is not None}
        if clash := {"prompt", *ours}.intersection(video.options):
            raise Permanent("invalid_item", f"`options` repeats {', '.join(sorted(clash))}: give it once.")
        more = {name: _plain(name, value) for name, value in video.options.items()}
        marked = {self._reference: wanted.reference} if self._reference else {}
        return {"prompt": video.prompt, **ours, **more, **marked}

    def _looks_like(self, job: dict[str, Any], wanted: JobRequest) -> bool:
        """Compare by the reference if the job shows it, else by all fields that both state."""
        if self._reference and self._reference in job:
            return bool(job[self._reference] == wanted.reference)
        video = wanted.video
        asked = {"prompt": video.prompt, "size": video.size, "seconds": video.seconds, "seed": video.seed}
        if job.get("prompt") != video.prompt:
            return False
        both = [(value, job.get(name)) for name, value in asked.items() if value is not None]
        return all(shown is None or str(shown) == str(value) for value, shown in both)


def _job(body: Any) -> ProviderJob | None:
    job_id = text_of(body.get("id")) if isinstance(body, dict) else None
    if not job_id:
        return None
    status = status_of(body.get("status"))
    progress = _number(body.get("progress"), -1.0)
    return ProviderJob(
        job_id,
        status,
        text_of(body.get("status")) or "",
        progress=min(progress, 100.0) / 100 if progress >= 0 else None,
        failure=failure(body) if status == "failed" else None,
        seconds=_number(body.get("seconds"), 0.0) or None,
        size=text_of(body.get("size")),
        model=text_of(body.get("model")),
    )


def _refusal(answer: ProviderAnswer) -> Exception:
    return of_call(answer.status, answer.headers, answer.body, datetime.now(UTC))


def _now(answer: ProviderAnswer) -> float:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return datetime.now(UTC).timestamp()


def _number(value: Any, otherwise: float) -> float:
    """Return a number, also from a text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return number if abs(number) < 1e15 else otherwise


def _plain(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise Permanent("invalid_item", f"`options.{name}` is not a text, a number or a truth value, as forms have it.")
    return str(value)
