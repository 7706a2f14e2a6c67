"""Framing between a worker and its sandbox process: four bytes of length, then a JSON body.

The process receives `ChunkReady`, to be run at once. It sends `READY` once, then a list of `ItemOutcome` for each.
"""

import asyncio
import os
import struct

READY = b"null"
_LENGTH = struct.Struct(">I")


def encode_frame(body: bytes) -> bytes:
    """Return the body with its length in front."""
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read the next body; None when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to the kernel, where they outlive this process."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
