"""Turns bodies into UTF-8: expands gzip within bounds, and reads the charset that `Content-Type` names."""

import asyncio
import codecs
import zlib
from collections.abc import AsyncIterator
from email.message import Message

from starlette.datastructures import Headers

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

MAX_EXPANDED_BYTES = 1024 * 1024 * 1024
"""Largest size of a compressed body when it is expanded."""
MAX_EXPANSION = 200
"""Largest ratio of the expanded size to that of the compressed body, beyond `_FREE_BYTES`."""
_FREE_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_GZIP_FORMAT = 31
"""Window bits of zlib that stand for gzip."""
_UTF8 = {"utf-8", "utf8", "us-ascii", "ascii"}
_CHARSETS = {
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
    "windows-1252": "cp1252",
    "iso-8859-1": "cp1252",
}
"""Charsets that are read beside UTF-8, with Python's names. What calls itself ISO-8859-1 is read as Windows-1252, as
browsers do."""
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_MARK_BYTES = 4
_TOO_EXPANDED = Rejection(
    "body_too_expanded",
    f"The compressed body expands to more than {MAX_EXPANDED_BYTES >> 30} GiB, or to more than {MAX_EXPANSION} times "
    "its size. Send it without compression, or in parts.",
    413,
)


class ContentType:
    """Media type and charset of a body, and its content coding; raises `IngestError` (415) unless they are read."""

    def __init__(self, headers: Headers) -> None:
        header = Message()
        header["content-type"] = headers.get("content-type", "application/octet-stream")
        self.media_type = header.get_content_type()
        charset = str(header.get_param("charset") or "utf-8").lower()
        if charset not in _UTF8 and charset not in _CHARSETS:
            known = ", ".join(["UTF-8", *(name.upper() for name in _CHARSETS)])
            detail = f"The charset {charset[:50]!r} is not read. Send the body in UTF-8, or in one of: {known}."
            raise IngestError(Rejection("unsupported_charset", detail, 415))
        self.charset = None if charset in _UTF8 else charset
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"identity", "gzip", "x-gzip", ""}:
            detail = f"The content coding {coding[:50]!r} is not read. Send the body as it is, or with gzip."
            raise IngestError(Rejection("unsupported_encoding", detail, 415))
        self.is_compressed = coding in {"gzip", "x-gzip"}

    def decode(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return the text of a body as UTF-8, part by part. Iterating raises `IngestError` (400, 413)."""
        expanded = _expand(parts) if self.is_compressed else parts
        return _as_utf8(expanded, self.charset) if self.charset else expanded


async def _expand(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    decoder, received, expanded = zlib.decompressobj(_GZIP_FORMAT), 0, 0
    try:
        async for part in parts:
            received += len(part)
            rest = part
            while rest:
                if decoder.eof:  # a file may have several members
                    decoder = zlib.decompressobj(_GZIP_FORMAT)
                piece = decoder.decompress(rest, _PIECE_BYTES)
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                expanded += len(piece)
                if expanded > min(MAX_EXPANDED_BYTES, max(_FREE_BYTES, MAX_EXPANSION * received)):
                    raise IngestError(_TOO_EXPANDED)
                if piece:
                    yield piece
                    await asyncio.sleep(0)  # other requests get a turn: a small part may become a long text
        if last := decoder.flush():
            yield last
    except zlib.error as error:
        raise IngestError(_not_gzip("It cannot be expanded")) from error
    if not decoder.eof:
        raise IngestError(_not_gzip("It ends too early"))


async def _as_utf8(parts: AsyncIterator[bytes], charset: str) -> AsyncIterator[bytes]:
    decoder: codecs.IncrementalDecoder | None = None
    start = b""
    try:
        async for part in parts:
            start += part
            if decoder is None and len(start) < _MARK_BYTES:
                continue
            decoder = decoder or _decoder(charset, start)
            if text := decoder.decode(start):
                yield text.encode()
            start = b""
        decoder = decoder or _decoder(charset, start)
        if text := decoder.decode(start, final=True):
            yield text.encode()
    except UnicodeError as error:
        detail = f"The body is not in the charset {charset.upper()} that Content-Type names. Name the one that it has."
        raise IngestError(Rejection("invalid_encoding", detail, 400)) from error


def _decoder(charset: str, start: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder of a body that begins so. One without a byte-order mark is little-endian, as browsers have
    it."""
    needs_mark = charset in {"utf-16", "utf-32"}
    name = _CHARSETS[charset] + ("-le" if needs_mark and not start.startswith(_MARKS) else "")
    return codecs.getincrementaldecoder(name)()


def _not_gzip(reason: str) -> Rejection:
    detail = f"The body is not what Content-Encoding says, gzip. {reason}. Compress it again, or send it as it is."
    return Rejection("invalid_encoding", detail, 400)
