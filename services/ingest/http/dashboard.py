"""The dashboard: a page and its files, which `make dashboard` builds from `dashboard/` into `assets/` beside this."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

PREFIX = "/assets"
PAGE = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; media-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_OTHER_PREFIXES = ("/api", "/docs", PREFIX, "/problems", "/openapi.json")
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Codings in the order of preference, with the suffix of the compressed copies."""
_UNCHANGING = "public, max-age=31536000, immutable"
_ALWAYS_ASKED = "no-cache"
_NO_SUCH_FILE = Rejection(
    "not_found", "There is no such file. The page may be older than this server: load it again.", 404
)
_MISSING = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Batchyard</title></head>
<body>
<h1>The dashboard is not built</h1>
<p>Batchyard runs, and its <a href="/docs">API</a> and the command line work. Only this page is missing.</p>
<p>In the checkout, run <code>make dashboard</code>, which needs the npm registry, and start Batchyard again.</p>
</body>
</html>
"""


@dataclass(frozen=True)
class File:
    """A file of the build, with its compressed copies by coding."""

    name: str
    content: bytes
    copies: Mapping[str, bytes]

    @cached_property
    def tag(self) -> str:
        """Strong entity tag of the file."""
        return f'"{sha256(self.content).hexdigest()[:24]}"'

    @property
    def media_type(self) -> str:
        """Media type, known by the suffix of the name."""
        return _MEDIA_TYPES[self.name.rpartition(".")[2]]

    @property
    def is_named_by_hash(self) -> bool:
        """True for a file whose name changes with its content."""
        return self.name.endswith((".js", ".css", ".svg"))

    def response(self, request: Headers) -> Response:
        """Return the file in the best coding that the client accepts, or 304."""
        headers = {
            "Cache-Control": _UNCHANGING if self.is_named_by_hash else _ALWAYS_ASKED,
            "Content-Security-Policy": POLICY,
            "Vary": "Accept-Encoding",
            "ETag": self.tag,
        }
        if self.tag in request.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        coding = next((c for c in _ENCODINGS if c in self.copies and _accepts(request, c)), None)
        if coding is None:
            return Response(self.content, headers=headers, media_type=self.media_type)
        return Response(
            self.copies[coding], headers={**headers, "Content-Encoding": coding}, media_type=self.media_type
        )


def load() -> dict[str, File]:
    """Return the files of the build by name; none if the dashboard was not built."""
    folder = files("services.ingest.http") / "assets"
    if not folder.is_dir():
        return {}
    found = {each.name: each for each in folder.iterdir() if each.is_file()}
    return {name: _file(name, found) for name in found if name.rpartition(".")[2] in _MEDIA_TYPES}


def routes(found: Mapping[str, File]) -> APIRouter:
    """Return the route of the files beside the page."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{PREFIX}/{{name}}")
    async def file(name: str, request: Request) -> Response:
        if name not in found or name == PAGE:
            raise IngestError(_NO_SUCH_FILE)
        return found[name].response(request.headers)

    return router


class PageOfOtherPaths:
    """Answer to a path that no route knows: the page, which has pages of its own, unless it is a path of the API."""

    def __init__(self, page: File | None, not_found: ASGIApp) -> None:
        self._page, self._not_found = page, not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        is_own = not any(path == each or path.startswith(f"{each}/") for each in _OTHER_PREFIXES)
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or not is_own:
            await self._not_found(scope, receive, send)
            return
        response = _missing() if self._page is None else self._page.response(Headers(scope=scope))
        await response(scope, receive, send)


def _missing() -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(_MISSING, 503, headers, _MEDIA_TYPES["html"])


def _file(name: str, found: Mapping[str, Traversable]) -> File:
    copies = {
        coding: found[name + suffix].read_bytes() for coding, suffix in _ENCODINGS.items() if name + suffix in found
    }
    return File(name, found[name].read_bytes(), copies)


def _accepts(request: Headers, coding: str) -> bool:
    for part in request.get("accept-encoding", "").split(","):
        name, _, weight = part.partition(";")
        if name.strip().lower() == coding:
            return weight.replace(" ", "").lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
