"""Texts out of results, such as a cue sheet for each tracklist, as files in one ZIP that is written as it is read."""

import re
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import TextExport
from batchyard_contracts.v1.values import ItemResult
from services.ingest.queries.result_reader import Page

MAX_FILES_FROM = 100_000
"""Items whose texts one archive may hold: its directory is kept in memory until the end."""
_UNSAFE = re.compile(r"[^\w .,()'&+-]+")
_NAME = 100


async def texts_zip(pages: AsyncIterator[Page], export: TextExport, at: datetime) -> AsyncIterator[bytes]:
    """A ZIP of all texts. The name of each begins with the ordinal of its item, so no two are the same."""
    content, filename = CompiledPointer(export.content), CompiledPointer(export.filename)
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        async for page in pages:
            for item in page.items:
                for name, text in _texts(item, content, filename, export.suffix):
                    info = zipfile.ZipInfo(name, at.timetuple()[:6])
                    info.compress_type = zipfile.ZIP_DEFLATED
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, text.encode("utf-8", "replace"))
            if piece := sink.drain():
                yield piece
    yield sink.drain()


def safe_name(name: str) -> str:
    """A text as part of a file's name on any system."""
    plain = _UNSAFE.sub("-", unicodedata.normalize("NFKC", name)).strip(" .-")
    return plain[:_NAME].rstrip(" .-")


def _texts(
    item: ItemResult, content: CompiledPointer, filename: CompiledPointer, suffix: str
) -> Iterator[tuple[str, str]]:
    texts, names = _list(content.find(item.result)), _list(filename.find(item.result))
    several = len(texts) > 1
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            continue
        own = names[index] if index < len(names) else names[0] if names else ""
        number = f"{item.ordinal:06d}" + (f"-{index + 1:02d}" if several else "")
        label = safe_name(own.removesuffix(suffix)) if isinstance(own, str) else ""
        yield f"{number} {label}".rstrip() + suffix, text


def _list(value: Any) -> list[Any]:
    if value is MISSING or value is None:
        return []
    return value if isinstance(value, list) else [value]


class _Sink:
    """A file that only takes: what was written is handed on and forgotten."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes, /) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """There is nothing between here and the caller."""

    def close(self) -> None:
        """Nothing is held open."""

    def drain(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
