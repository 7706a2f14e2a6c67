"""A set of ordinals in a bounded memory: one bit for each ordinal of a batch, 125 KB for a million."""

from collections.abc import Iterable

_BLOCK_BYTES = 4096
"""Size of the blocks in which memory is taken, each for 32,768 ordinals in a row."""


class OrdinalSet:
    """A set of ordinals that grows only."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def __contains__(self, ordinal: int) -> bool:
        block = self._blocks.get(ordinal // (8 * _BLOCK_BYTES))
        return block is not None and bool(block[ordinal // 8 % _BLOCK_BYTES] & 1 << ordinal % 8)

    def update(self, ordinals: Iterable[int]) -> None:
        """Add ordinals."""
        for ordinal in ordinals:
            block = self._blocks.setdefault(ordinal // (8 * _BLOCK_BYTES), bytearray())
            if not block:
                block.extend(bytes(_BLOCK_BYTES))
            block[ordinal // 8 % _BLOCK_BYTES] |= 1 << ordinal % 8
