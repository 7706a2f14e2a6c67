"""Reads request bodies within limits, and the headers that say what they are."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Message
from batchyard_contracts.v1.values import IdempotencyKey
from services.ingest.api.invalid_command import fault_of
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
_IDLE_S = 30.0
_KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)
_TOO_LARGE = Fault(
    "message_too_large",
    f"A JSON body has at most {MAX_MESSAGE_BYTES} bytes. Send the items as {NDJSON}, or append them in pieces.",
    413,
)
_SLOW = Fault("request_timeout", f"Nothing came for {_IDLE_S:g} s. Send it again.", 408)


def media_type(request: Request, *allowed: str) -> str:
    """What the body is; raises `Refused` (415) unless it is one of those allowed, plain and in UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    encoding = request.headers.get("content-encoding", "identity").lower()
    if kind.strip() not in allowed or charset not in {"utf-8", "utf8", "us-ascii"} or encoding != "identity":
        raise Refused(
            Fault("unsupported_media_type", f"Send {' or '.join(allowed)} in UTF-8, without content encoding.", 415)
        )
    return kind.strip()


async def read(request: Request, kind: type[Message]) -> Message:
    """A body as a message; raises `Refused`."""
    media_type(request, JSON)
    return decode(await read_bytes(request), kind)


async def read_bytes(request: Request) -> bytes:
    """A body that is held in memory; raises `Refused` when it is too large, before it is read whole."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > MAX_MESSAGE_BYTES:
        raise Refused(_TOO_LARGE)
    body = bytearray()
    async for chunk in chunks(request):
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            raise Refused(_TOO_LARGE)
    return bytes(body)


def decode(body: bytes, kind: type[Message]) -> Message:
    """Read a body; raises `Refused`."""
    try:
        return kind.decode(body)
    except ValidationError as error:
        raise Refused(fault_of(error)) from error


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces; raises `Refused` (408) when the sender falls silent."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_IDLE_S):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise Refused(_SLOW) from error
        if chunk is None:
            return
        if chunk:
            yield chunk


def idempotency_key(request: Request) -> str | None:
    """The header `Idempotency-Key`, which may be quoted as the draft standard has it."""
    value = request.headers.get("idempotency-key")
    if value is None:
        return None
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return _KEY.validate_python(value)
    except ValidationError as error:
        detail = "The header Idempotency-Key takes 1 to 255 visible ASCII characters."
        raise Refused(Fault("invalid_idempotency_key", detail, 400)) from error
