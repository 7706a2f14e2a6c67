"""Texts of results, such as a page for each item, as files in a ZIP archive that is streamed."""

import asyncio
import re
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import TextExport
from services.ingest.queries.result_page import Outcome, ResultPage, read_json

MAX_ARCHIVE_ITEMS = 100_000
"""Largest number of items in one archive, whose directory is kept in memory until the end."""
_UNSAFE = re.compile(r"[^\w .,()'&+-]+")
_MAX_NAME_LENGTH = 100
_LONG_TEXT_BYTES = 64 * 1024
"""Size above which a text is compressed in a thread, so that other requests go on."""


async def texts_zip(pages: AsyncIterator[ResultPage], export: TextExport, at: datetime) -> AsyncIterator[bytes]:
    """Yield a ZIP archive of all texts. File names start with the ordinal of the item, so that no two are equal."""
    content, filename = CompiledPointer(export.content), CompiledPointer(export.filename)
    buffer = _WriteBuffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        async for page in pages:
            for item in page.outcomes():
                for name, text in _texts(item, content, filename, export.suffix):
                    info = zipfile.ZipInfo(name, at.timetuple()[:6])
                    info.compress_type = zipfile.ZIP_DEFLATED
                    info.external_attr = 0o644 << 16
                    content_bytes = text.encode()
                    if len(content_bytes) > _LONG_TEXT_BYTES:
                        await asyncio.to_thread(archive.writestr, info, content_bytes)
                    else:
                        archive.writestr(info, content_bytes)
                        await asyncio.sleep(0)  # other requests get a turn after each
            if piece := buffer.drain():
                yield piece
    yield buffer.drain()


def safe_name(name: str) -> str:
    """Return a text as part of a file name that is safe on any system."""
    start = name[: 2 * _MAX_NAME_LENGTH]  # normalizing takes time by the square of a run of accents
    plain = _UNSAFE.sub("-", unicodedata.normalize("NFKC", start)).strip(" .-")
    return plain[:_MAX_NAME_LENGTH].rstrip(" .-")


def _texts(
    item: Outcome, content: CompiledPointer, filename: CompiledPointer, suffix: str
) -> Iterator[tuple[str, str]]:
    result = read_json(item.result)
    texts, names = _as_list(content.find(result)), _as_list(filename.find(result))
    several = len(texts) > 1
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            continue
        own = names[index] if index < len(names) else names[0] if names else ""
        number = f"{item.ordinal:06d}" + (f"-{index + 1:02d}" if several else "")
        label = safe_name(own.removesuffix(suffix)) if isinstance(own, str) else ""
        yield f"{number} {label}".rstrip() + suffix, text


def _as_list(value: Any) -> list[Any]:
    if value is MISSING or value is None:
        return []
    return value if isinstance(value, list) else [value]


class _WriteBuffer:
    """A write-only file whose content is drained into the response."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes, /) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: there is no further buffer."""

    def close(self) -> None:
        """Do nothing: there is no open file."""

    def drain(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
