"""How a worker and the process of quarantined items talk: four bytes of length, and a body of JSON.

To the process: a `ChunkReady`, to be run now. From it: `READY` once, then a list of `ItemOutcome` for each.
"""

import asyncio
import os
import struct

READY = b"null"
_LENGTH = struct.Struct(">I")


def encode_frame(body: bytes) -> bytes:
    """What goes over the wire."""
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next body; None when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def write_all(descriptor: int, content: bytes) -> None:
    """Return when all of it is with the kernel, where it outlives this process."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
