"""Client of Replicate, which has one format for the jobs ("predictions") of all its models."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import ClientResponse

from batchyard_contracts.workload import Permanent, Transient
from services.worker.workloads.videos.model import ProviderName
from services.worker.workloads.videos.providers.client import ProviderAnswer, ProviderClient
from services.worker.workloads.videos.providers.job_status import status_of
from services.worker.workloads.videos.providers.output import clip_address
from services.worker.workloads.videos.providers.provider import (
    Failure,
    JobRequest,
    MayExist,
    NoList,
    NoSuchJob,
    ProviderJob,
    text_of,
)
from services.worker.workloads.videos.providers.verdict import failure, of_call, of_creation

_ABORTED = Failure("aborted", "It was given up before it began.")
_PAGES = 10
_SKEW_S = 5.0


class Replicate:
    """Client of one Replicate account."""

    name: ProviderName = "replicate"

    def __init__(self, client: ProviderClient, names: dict[str, str]) -> None:
        """`names`: what the models call prompt, seconds, size and seed."""
        self._client, self._names = client, names

    async def create(self, wanted: JobRequest) -> ProviderJob:
        model, colon, version = wanted.model.partition(":")
        body: dict[str, Any] = {"input": self._input(wanted)}
        address = f"/models/{quote(model)}/predictions"
        if colon:
            address, body = "/predictions", {"version": version, **body}
        headers = {"Idempotency-Key": f'"{wanted.reference}"'}
        answer = await self._client.create(address, headers=headers, json=body)
        if not answer.ok:
            raise of_creation(
                answer.status, answer.headers, answer.body, datetime.now(UTC), named=wanted.video.model is not None
            )
        job = _job(answer.body)
        if job is None:
            raise MayExist("The provider took the job and did not name it.")
        return job

    async def look(self, job_id: str) -> ProviderJob:
        job = _job(await self._prediction(job_id))
        if job is None:
            raise Transient("invalid_response", "What the provider says of the job is no description of one.")
        return job

    async def alike(self, wanted: JobRequest, age_s: float) -> list[str]:
        """List similar jobs; the input of each is requested if the list does not contain it."""
        found: list[str] = []
        address = "/predictions"
        for _ in range(_PAGES):
            answer = await self._client.ask("GET", address)
            if answer.status in {404, 405, 501}:
                raise NoList
            if not answer.ok:
                raise _refusal(answer)
            body = answer.body if isinstance(answer.body, dict) else {}
            jobs = [job for job in body.get("results") or [] if isinstance(job, dict) and text_of(job.get("id"))]
            oldest = datetime.now(UTC) - timedelta(seconds=age_s + _SKEW_S)
            young = [job for job in jobs if _made_at(job, oldest) >= oldest]
            for job in young:
                whole = job if "input" in job else await self._prediction(str(job["id"]))
                if self._looks_like(whole, wanted):
                    found.append(str(job["id"]))
            address = body.get("next") or ""
            if len(young) < len(jobs) or not address.startswith(self._client.url):
                break
        return found

    def content(self, job: ProviderJob) -> AbstractAsyncContextManager[ClientResponse]:
        """Fetch the file from the address that the job states."""
        if job.address is None:
            raise Permanent(
                "invalid_response",
                f"Job {job.id} succeeded, and no address of a file is in its output. It was left at the provider.",
            )
        return self._client.fetch(job.address, own=False)

    async def cancel(self, job_id: str) -> None:
        answer = await self._client.ask("POST", f"/predictions/{quote(job_id, safe='')}/cancel")
        if answer.status in {404, 410}:
            raise NoSuchJob
        if not answer.ok:
            raise _refusal(answer)

    async def _prediction(self, job_id: str) -> Any:
        answer = await self._client.ask("GET", f"/predictions/{quote(job_id, safe='')}")
        if answer.status in {404, 410}:
            raise NoSuchJob
        if not answer.ok:
            raise _refusal(answer)
        return answer.body

    def _input(self, wanted: JobRequest) -> dict[str, Any]:
        video, named = wanted.video, {}
        for name, value in (
            ("prompt", video.prompt),
            ("seconds", video.seconds),
            ("size", video.size),
            ("seed", video.seed),
        ):
            if value is None:
                continue
            if name not in self._names:
                message = f"The settings do not say what the model calls `{name}`: leave it out, or use `options`."
                raise Permanent("unsupported_field", message)
            named[self._names[name]] = value
        if clash := named.keys() & video.options.keys():
            raise Permanent("invalid_item", f"`options` repeats {', '.join(sorted(clash))}: give it once.")
        return {**named, **video.options}

    def _looks_like(self, job: Any, wanted: JobRequest) -> bool:
        """Compare inputs by value; a job of another model has another input, or makes as good a clip by chance."""
        return isinstance(job, dict) and job.get("input") == self._input(wanted) and _of_model(job, wanted.model)


def _of_model(job: dict[str, Any], model: str) -> bool:
    name, _, version = model.partition(":")
    shown_name, shown_version = job.get("model"), job.get("version")
    return shown_name in {None, name} and (not version or shown_version in {None, version})


def _job(body: Any) -> ProviderJob | None:
    job_id = text_of(body.get("id")) if isinstance(body, dict) else None
    if not job_id:
        return None
    status = status_of(body.get("status"))
    found = _ABORTED if body.get("status") == "aborted" else failure(body)
    progress = body.get("progress")
    return ProviderJob(
        job_id,
        status,
        text_of(body.get("status")) or "",
        progress=float(progress) if isinstance(progress, int | float) and 0 <= progress <= 1 else None,
        failure=found if status == "failed" else None,
        model=text_of(body.get("model")),
        address=clip_address(body.get("output")),
    )


def _made_at(job: dict[str, Any], otherwise: datetime) -> datetime:
    try:
        made = datetime.fromisoformat(str(job.get("created_at")))
    except ValueError:
        return otherwise
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def _refusal(answer: ProviderAnswer) -> Exception:
    return of_call(answer.status, answer.headers, answer.body, datetime.now(UTC))
