"""An S3-compatible store as far as files need it: puts, multipart uploads, lists, parts of objects, deletions, and
verified signatures.

The signature is computed anew by AWS Signature Version 4:
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

from tests.support.served_app import served

KEY_ID, SECRET, BUCKET = "demo-id", "demo-secret", "clips"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)"
)


@dataclass(slots=True)
class S3Server:
    """Content of the bucket, by key; `begun` are unfinished multipart uploads."""

    url: str = ""
    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    begun: dict[str, tuple[str, str, dict[int, bytes]]] = field(default_factory=dict)
    after_list: Callable[[], None] = lambda: None
    """Called after a list was made, before it is sent."""

    async def put(self, request: web.Request) -> web.Response:
        """Store an object, or a part of one."""
        body = await request.read()
        if fault := self._fault(request, body):
            return fault
        upload = request.query.get("uploadId")
        if upload is None:
            self.objects[request.match_info["key"]] = (request.headers.get("Content-Type", ""), body)
        else:
            self.begun[upload][2][int(request.query["partNumber"])] = body
        return web.Response(headers={"ETag": _tag(body)})

    async def post(self, request: web.Request) -> web.Response:
        """Start or complete a multipart upload."""
        body = await request.read()
        if fault := self._fault(request, body):
            return fault
        if "delete" in request.query:
            names = re.findall(r"<Key>([^<]+)</Key>", body.decode())
            for name in names:
                self.objects.pop(name, None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return _xml(f"<DeleteResult>{deleted}</DeleteResult>")
        key = request.match_info["key"]
        if "uploads" in request.query:
            upload = f"upload-{len(self.begun)}"
            self.begun[upload] = (key, request.headers.get("Content-Type", ""), {})
            inner = f"<Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>"
            return _xml(f"<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>")
        name, content_type, parts = self.begun.pop(request.query["uploadId"])
        self.objects[name] = (content_type, b"".join(parts[n] for n in sorted(parts)))
        inner = f"<Bucket>{BUCKET}</Bucket><Key>{name}</Key><ETag>&quot;all&quot;</ETag>"
        return _xml(f"<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>")

    async def get(self, request: web.Request) -> web.Response:
        """Return an object, or a part of it."""
        if fault := self._fault(request, b""):
            return fault
        found = self.objects.get(request.match_info["key"])
        if found is None:
            return _xml("<Error><Code>NoSuchKey</Code><Message>None.</Message></Error>", 404)
        content_type, content = found
        tag = _tag(content)
        if request.headers.get("If-Match", tag) != tag:
            return _xml("<Error><Code>PreconditionFailed</Code><Message>Another.</Message></Error>", 412)
        headers = {"ETag": tag, "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT", "Content-Type": content_type}
        asked = request.http_range
        if asked.start is None:
            return web.Response(body=content, headers=headers)
        part = content[asked]
        headers["Content-Range"] = f"bytes {asked.start}-{asked.start + len(part) - 1}/{len(content)}"
        return web.Response(status=206, body=part, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        """List the objects below a prefix."""
        if fault := self._fault(request, b""):
            return fault
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>{quote(_tag(content), safe='')}</ETag>"
            "<LastModified>2026-11-30T12:00:00.000Z</LastModified></Contents>"
            for key, (_, content) in sorted(self.objects.items(), reverse=True)
            if key.startswith(request.query.get("prefix", ""))
        ).replace("%22", "&quot;")
        self.after_list()
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>")

    async def delete(self, request: web.Request) -> web.Response:
        """Abort a multipart upload, or delete an object."""
        if "uploadId" in request.query:
            self.begun.pop(request.query["uploadId"], None)
        elif fault := self._fault(request, await request.read()):
            return fault
        else:
            self.objects.pop(request.match_info["key"], None)
        return web.Response(status=204)

    def _fault(self, request: web.Request, body: bytes) -> web.Response | None:
        if request.match_info["bucket"] != BUCKET:
            return _xml("<Error><Code>NoSuchBucket</Code><Message>None.</Message></Error>", 404)
        found = _AUTHORIZATION.match(request.headers.get("Authorization", ""))
        if found is None or found[1] != KEY_ID or found[5] != _signature(request, body, found):
            return _xml("<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message></Error>", 403)
        return None


def _signature(request: web.Request, body: bytes, found: re.Match[str]) -> str:
    _, day, region, names, _ = found.groups()
    headers = "".join(f"{n}:{' '.join(request.headers[n].split())}\n" for n in names.split(";"))
    query = "&".join(
        sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in request.query.items())
    )
    digest = request.headers["x-amz-content-sha256"]
    assert digest in {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()}
    canonical = "\n".join([request.method, request.url.raw_path, query, headers, names, digest])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def _tag(content: bytes) -> str:
    """Return the entity tag of an object."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(text=f'<?xml version="1.0"?>{text}', status=status, content_type="application/xml")


@asynccontextmanager
async def s3_server() -> AsyncIterator[S3Server]:
    """Serve until the context ends."""
    server = S3Server()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_put("/{bucket}/{key:.+}", server.put)
    app.router.add_post("/{bucket}/{key:.+}", server.post)
    app.router.add_post("/{bucket}", server.post)
    app.router.add_get("/{bucket}", server.list)
    app.router.add_get("/{bucket}/{key:.+}", server.get)
    app.router.add_delete("/{bucket}/{key:.+}", server.delete)
    async with served(app) as url:
        server.url = url
        yield server
