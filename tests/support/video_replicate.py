"""Replicate's HTTP API as far as clips need it: predictions, their list, cancelling, and files on another host."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.support.served_app import served
from tests.support.video_jobs import FILE, MUTE, VideoJob, VideoJobs

KEY = "r8_demo"
_PAGE = 2
_STATUSES = {"queued": "starting", "running": "processing", "done": "succeeded", "cancelled": "canceled"}


class VideoReplicate:
    """HTTP server; its recorded requests are in `jobs`."""

    def __init__(self, jobs: VideoJobs) -> None:
        self.jobs = jobs
        self.origin = self.url = ""

    async def create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        given = asked["input"]
        prompt = str(given["prompt"])
        behaviour = prompt.split(maxsplit=1)[0]
        call = self.jobs.called("create", behaviour)
        if behaviour == "limited-once" and call == 1:
            return _detail(429, "Request was throttled. Your rate limit resets in ~1s.")
        if behaviour == "broke":
            return _detail(402, "You have insufficient credit to run this model.")
        if behaviour == "wrong":
            return _detail(422, "- input: duration is required")
        if request.match_info.get("model") == "unknown":
            return _detail(404, "The requested resource could not be found.")
        job = self.jobs.create(prompt, given, request.headers["Idempotency-Key"])
        if behaviour in MUTE:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(self._shown(job, "queued"), status=201)

    async def look(self, request: web.Request) -> web.Response:
        found = self.jobs.look(request.match_info["id"])
        if found is None:
            return _detail(404, "The requested resource could not be found.")
        return web.json_response(self._shown(*found))

    async def listed(self, request: web.Request) -> web.Response:
        """Answer the list, which does not contain the inputs of predictions."""
        jobs, start = self.jobs.listed(), int(request.query.get("cursor", "0"))
        more = start + _PAGE < len(jobs)
        shown = [self._shown(job, "queued") for job in jobs[start : start + _PAGE]]
        for one in shown:
            del one["input"]
        next_ = f"{self.url}/predictions?cursor={start + _PAGE}" if more else None
        return web.json_response({"previous": None, "next": next_, "results": shown})

    async def cancel(self, request: web.Request) -> web.Response:
        job = self.jobs.made.get(request.match_info["id"])
        if job is None:
            return _detail(404, "The requested resource could not be found.")
        job.cancelled = True
        return web.json_response(self._shown(job, "cancelled"))

    async def file(self, request: web.Request) -> web.Response:
        """Serve a public file on a host of its own, which must not receive a key."""
        if "Authorization" in request.headers:
            return web.Response(status=400, text="A key was sent where none is needed.")
        if self.jobs.made[request.match_info["id"]].behaviour == "expired":
            return web.Response(status=404)
        return web.Response(body=FILE, content_type="video/mp4")

    def _shown(self, job: VideoJob, status: str) -> dict[str, Any]:
        address = f"{self.url}/predictions/{job.id}"
        failed = status in {"failed", "moderated"}
        error = {"moderated": "The input or output was flagged as sensitive. (E005)", "failed": "CUDA out of memory"}
        return {
            "id": job.id,
            "model": "acme/clips",
            "version": "hidden",
            "input": job.asked,
            "output": self._output(job) if status == "done" else None,
            "error": error.get(status),
            "status": "failed" if failed else _STATUSES[status],
            "created_at": datetime.fromtimestamp(job.created_at, UTC).isoformat(),
            "urls": {"get": address, "cancel": f"{address}/cancel"},
        }

    def _output(self, job: VideoJob) -> Any:
        file = f"{self.origin}/files/{job.id}.mp4"
        data = base64.b64encode(FILE).decode()
        picture = f"{self.origin}/files/{job.id}.jpg"
        shapes = {
            "text": file,
            "object": {"video": file, "seed": 4},
            "objects": [{"video": file}],
            "nested": {"result": {"thumbnail": picture, "files": [{"kind": "mp4", "url": file}]}, "logs": self.url},
            "picture-first": [picture, file],
            "data": f"data:video/mp4;base64,{data}",
            "nothing": {"seed": 4},
        }
        return shapes.get(job.detail("output") or "", [file])


def _detail(status: int, text: str) -> web.Response:
    return web.json_response({"title": "No", "detail": text, "status": status}, status=status)


@web.middleware
async def _with_key(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {KEY}":
        return _detail(401, "You did not pass a valid authentication token")
    response: web.StreamResponse = await handler(request)
    return response


@asynccontextmanager
async def video_replicate(jobs: VideoJobs | None = None) -> AsyncIterator[VideoReplicate]:
    """Serve until the context ends."""
    server = VideoReplicate(jobs or VideoJobs())
    app = web.Application(middlewares=[_with_key])
    app.router.add_post("/v1/models/{owner}/{model}/predictions", server.create)
    app.router.add_post("/v1/predictions", server.create)
    app.router.add_get("/v1/predictions", server.listed)
    app.router.add_get("/v1/predictions/{id}", server.look)
    app.router.add_post("/v1/predictions/{id}/cancel", server.cancel)
    app.router.add_get("/files/{id}.mp4", server.file)
    async with served(app) as url:
        server.origin = url
        server.url = f"{server.origin}/v1"
        yield server
