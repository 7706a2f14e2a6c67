"""A server of the `/videos` dialect, as vLLM-Omni speaks it: forms only, short answers, numeric error codes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.served_app import served
from tests.support.video_jobs import FILE, MUTE, VideoJob, VideoJobs

KEY = "demo"


class VideoDialect:
    """HTTP server; its recorded requests are in `jobs`."""

    def __init__(self, jobs: VideoJobs) -> None:
        self.jobs = jobs
        self.url = ""

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Accept a form and answer with the required fields only."""
        if not request.content_type.startswith("multipart/"):
            return _error(415, "unsupported_media_type")
        fields = {name: str(value) for name, value in (await request.post()).items()}
        prompt = fields.get("prompt", "")
        behaviour = (prompt.split() or [""])[0]
        if answer := self._refusal(behaviour, self.jobs.called("create", behaviour)):
            return answer
        job = self.jobs.create(prompt, fields, request.headers["Idempotency-Key"])
        if behaviour in MUTE:
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"id": job.id, "status": "queued", "created_at": int(job.created_at)})

    async def look(self, request: web.Request) -> web.Response:
        found = self.jobs.look(request.match_info["id"])
        if found is None:
            return _error(404, "not_found")
        job, status = found
        self.jobs.called("look", job.behaviour)
        if job.behaviour == "stumbling" and job.looks == 2:
            return _error(502, "bad_gateway")
        return web.json_response(self._shown(job, status))

    async def content(self, request: web.Request) -> web.StreamResponse:
        job = self.jobs.made[request.match_info["id"]]
        again = self.jobs.called("content", job.behaviour) > 1
        if job.behaviour == "expired":
            return _error(404, "not_found")
        if (status := job.detail("content")) and self.jobs.calls[f"content {job.behaviour}"] <= 2:
            return _error(int(status), "not_ready")
        if job.behaviour == "page":
            return web.Response(text="<html>Sign in</html>", content_type="video/mp4")
        if job.behaviour == "truncated-once" and not again:
            response = web.StreamResponse(headers={"Content-Length": str(len(FILE)), "Content-Type": "video/mp4"})
            await response.prepare(request)
            await response.write(FILE[: len(FILE) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(body=FILE, content_type="video/mp4")

    async def listed(self, request: web.Request) -> web.Response:
        jobs = self.jobs.listed()
        after = request.query.get("after")
        start = next((n + 1 for n, job in enumerate(jobs) if job.id == after), 0)
        limit = int(request.query.get("limit", "20"))
        page = jobs[start : start + limit]
        shown = [self._shown(job, "queued") for job in page]
        return web.json_response({"object": "list", "data": shown, "has_more": start + limit < len(jobs)})

    async def delete(self, request: web.Request) -> web.Response:
        job = self.jobs.made.get(request.match_info["id"])
        if job is None:
            return _error(404, "not_found")
        job.cancelled = True
        return web.json_response({"id": job.id, "deleted": True, "object": "video.deleted"})

    def _shown(self, job: VideoJob, status: str) -> dict[str, Any]:
        shown = {
            "id": job.id,
            "object": "video",
            "model": job.asked.get("model", "wan2.2"),
            "status": {"done": "completed", "running": "in_progress", "queued": "queued"}.get(status, "failed"),
            "created_at": int(job.created_at),
            "prompt": job.prompt,
            "size": job.asked.get("size", "720x1280"),
            "seconds": job.asked.get("seconds", "4"),
            "error": None,
        }
        if "metadata" in job.asked:
            shown["metadata"] = job.asked["metadata"]
        if job.behaviour != "silent":
            shown["progress"] = 100 if status == "done" else self.jobs.progress(job)
        if status == "failed":
            shown["error"] = {"code": 500, "message": "CUDA out of memory"}
        if status == "moderated":
            shown["error"] = {"code": job.detail("error") or "moderation_blocked", "message": "Not this."}
        if status == "done" and (word := job.detail("status")):
            shown["status"] = word
        return shown

    def _refusal(self, behaviour: str, call: int) -> web.Response | None:
        match behaviour:
            case "limited-once" if call == 1:
                return _error(429, "rate_limit_exceeded", {"retry-after-ms": "300"})
            case "broke":
                return _error(429, "insufficient_quota", {"Retry-After": "1"})
            case "refused":
                return _error(400, "moderation_blocked")
            case "wrong":
                return _error(400, "invalid_value")
            case "broken":
                return _error(500, "server_error")
            case "gone":
                return _error(404, "model_not_found")
        return None


def _error(status: int, code: str | int, headers: dict[str, str] | None = None) -> web.Response:
    error = {"code": code, "message": "No.", "type": "invalid_request_error", "param": None}
    return web.json_response({"error": error}, status=status, headers=headers)


@web.middleware
async def _with_key(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        return _error(401, "invalid_api_key")
    response: web.StreamResponse = await handler(request)
    return response


@asynccontextmanager
async def video_dialect(jobs: VideoJobs | None = None) -> AsyncIterator[VideoDialect]:
    """Serve until the context ends."""
    server = VideoDialect(jobs or VideoJobs())
    app = web.Application(middlewares=[_with_key])
    app.router.add_post("/v1/videos", server.create)
    app.router.add_get("/v1/videos", server.listed)
    app.router.add_get("/v1/videos/{id}", server.look)
    app.router.add_delete("/v1/videos/{id}", server.delete)
    app.router.add_get("/v1/videos/{id}/content", server.content)
    async with served(app) as url:
        server.url = f"{url}/v1"
        yield server
