"""Reads request bodies within limits, and the headers that describe them."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Message
from batchyard_contracts.v1.values import IdempotencyKey
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.readers.encoding import Utf8Stream
from services.ingest.domain.rejection import Rejection
from services.ingest.http.content_encoding import ContentType

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
_IDLE_S = 30.0
_KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)
_TOO_LARGE = Rejection(
    "message_too_large",
    f"A JSON body has at most {MAX_MESSAGE_BYTES} bytes. Upload the items as {NDJSON}, or append them in parts.",
    413,
)
_TIMEOUT = Rejection("request_timeout", f"No data arrived for {_IDLE_S:g} s. Send the request again.", 408)


def media_type(request: Request, *allowed: str) -> str:
    """Return the media type of the body; raises `IngestError` (415) unless it is allowed, and its encoding is read."""
    kind = ContentType(request.headers).media_type
    if kind not in allowed:
        raise IngestError(Rejection("unsupported_media_type", f"Send the body as {' or '.join(allowed)}.", 415))
    return kind


async def read_message(request: Request, kind: type[Message]) -> Message:
    """Read the body as a message; raises `IngestError`."""
    media_type(request, JSON)
    return decode(await read_bytes(request), kind)


async def read_bytes(request: Request, max_bytes: int = MAX_MESSAGE_BYTES, too_large: Rejection = _TOO_LARGE) -> bytes:
    """Read the body into memory, as UTF-8 without a byte-order mark; raises `IngestError` as soon as it exceeds the
    limit."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise IngestError(too_large)
    body, text = bytearray(), Utf8Stream("malformed_json")
    async for chunk in chunks(request):
        body += text.feed(chunk)
        if len(body) > max_bytes:
            raise IngestError(too_large)
    body += text.feed(b"", final=True)
    if text.rejection:
        raise IngestError(text.rejection)
    return bytes(body)


def decode(body: bytes, kind: type[Message]) -> Message:
    """Decode a body; raises `IngestError`."""
    try:
        return kind.decode(body)
    except ValidationError as error:
        raise IngestError(rejection_of(error)) from error


def chunks(request: Request) -> AsyncIterator[bytes]:
    """Return the chunks of the body, as UTF-8; iterating raises `IngestError`, as when the client stops sending."""
    return ContentType(request.headers).decode(_received(request))


async def _received(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_IDLE_S):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise IngestError(_TIMEOUT) from error
        if chunk is None:
            return
        if chunk:
            yield chunk


def idempotency_key(request: Request) -> str | None:
    """Return the header `Idempotency-Key`, which may be quoted as in the draft standard."""
    value = request.headers.get("idempotency-key")
    if value is None:
        return None
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return _KEY.validate_python(value)
    except ValidationError as error:
        detail = "The header Idempotency-Key takes 1 to 255 visible ASCII characters."
        raise IngestError(Rejection("invalid_idempotency_key", detail, 400)) from error
