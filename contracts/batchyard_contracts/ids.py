"""Identifiers that sort by the time they were made: UUID version 7 (RFC 9562, section 5.7)."""

import secrets
import time
from uuid import UUID

ENTROPY_BYTES = 10


def uuid7(unix_ms: int, entropy: bytes) -> UUID:
    """UUIDv7 of a time in milliseconds since 1970, and of ten random bytes, of which 74 bits are used."""
    if not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"{unix_ms} ms does not fit into 48 bits")
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"{ENTROPY_BYTES} bytes of entropy are needed, not {len(entropy)}")
    value = unix_ms << 80 | int.from_bytes(entropy)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)


def new_batch_id() -> UUID:
    """Create the id of a new batch."""

    return uuid7(time.time_ns() // 1_000_000, secrets.token_bytes(ENTROPY_BYTES))
