"""Covers the pairs of a chunk by few rectangles of origins and destinations: each is one call of a matrix service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.worker.workloads.distances.places import Place

Pair = tuple[Place, Place]


@dataclass(frozen=True, slots=True)
class MatrixLimits:
    """Limits of one call. Cells: origins times destinations; places: origins plus destinations."""

    cells: int
    places: int
    fill: float
    """Smallest share of a call's cells that are requested pairs: 1 where each cell is paid for, else less."""


@dataclass(frozen=True, slots=True)
class Block:
    """One call: all ways from these origins to these destinations, of which the pairs `wanted` are requested."""

    origins: tuple[Place, ...]
    destinations: tuple[Place, ...]
    wanted: frozenset[Pair]

    def halves(self) -> "list[Block]":
        """Split the block into two calls across its longer side; a block of one cell has no halves."""
        if len(self.origins) >= len(self.destinations):
            middle = len(self.origins) // 2
            cuts = [(self.origins[:middle], self.destinations), (self.origins[middle:], self.destinations)]
        else:
            middle = len(self.destinations) // 2
            cuts = [(self.origins, self.destinations[:middle]), (self.origins, self.destinations[middle:])]
        return [block for cut in cuts if (block := _block(*cut, self.wanted)).wanted] if middle else []

    def without(self, place: Place) -> "Block | None":
        """Leave one place out of the block; None when no wanted pair remains."""
        origins = tuple(one for one in self.origins if one != place)
        destinations = tuple(one for one in self.destinations if one != place)
        block = _block(origins, destinations, self.wanted)
        return block if block.wanted else None


def cover(pairs: Iterable[Pair], limits: MatrixLimits) -> list[Block]:
    """Return blocks that cover each pair once. Origins with equal destinations share a block, those with similar ones
    as long as enough of its cells are requested; destinations are grouped instead if that takes fewer calls.
    """
    wanted = list(dict.fromkeys(pairs))
    across = _cover(wanted, limits)
    along = [
        Block(block.destinations, block.origins, frozenset((one, other) for other, one in block.wanted))
        for block in _cover([(destination, origin) for origin, destination in wanted], limits)
    ]
    return min(across, along, key=lambda blocks: (len(blocks), sum(_cells(block) for block in blocks)))


def _cover(pairs: Sequence[Pair], limits: MatrixLimits) -> list[Block]:
    wants: dict[Place, dict[Place, None]] = {}
    for origin, destination in pairs:
        wants.setdefault(origin, {})[destination] = None
    alike: dict[tuple[Place, ...], list[Place]] = {}
    for origin, destinations in wants.items():
        alike.setdefault(tuple(sorted(destinations)), []).append(origin)
    blocks: list[Block] = []
    origins: list[Place] = []
    union: set[Place] = set()
    filled = 0
    for ends, some in sorted(alike.items()):
        both = union.union(ends)
        count, more = len(origins) + len(some), filled + len(some) * len(ends)
        fits = count * len(both) <= limits.cells and count + len(both) <= limits.places
        if origins and not (fits and more >= limits.fill * count * len(both)):
            blocks += _tiles(origins, sorted(union), pairs_of(origins, wants), limits)
            origins, union, filled = [], set(), 0
            both, more = set(ends), len(some) * len(ends)
        origins += some
        union, filled = both, more
    if origins:
        blocks += _tiles(origins, sorted(union), pairs_of(origins, wants), limits)
    return blocks


def pairs_of(origins: Iterable[Place], wants: dict[Place, dict[Place, None]]) -> frozenset[Pair]:
    """Return the pairs that begin at some origins."""
    return frozenset((origin, destination) for origin in origins for destination in wants[origin])


def _tiles(
    origins: Sequence[Place], destinations: Sequence[Place], wanted: frozenset[Pair], limits: MatrixLimits
) -> list[Block]:
    """Cut a rectangle into as few blocks as possible, each within the limits."""
    height, width = _tile(len(origins), len(destinations), limits)
    tiles = (
        _block(tuple(origins[top : top + height]), tuple(destinations[left : left + width]), wanted)
        for top in range(0, len(origins), height)
        for left in range(0, len(destinations), width)
    )
    return [tile for tile in tiles if tile.wanted]


def _tile(rows: int, columns: int, limits: MatrixLimits) -> tuple[int, int]:
    best, fewest = (1, 1), rows * columns + 1
    for height in range(1, min(rows, limits.cells, limits.places - 1) + 1):
        width = min(columns, limits.cells // height, limits.places - height)
        calls = -(-rows // height) * -(-columns // width)
        if calls < fewest:
            best, fewest = (height, width), calls
    return best


def _block(origins: tuple[Place, ...], destinations: tuple[Place, ...], wanted: frozenset[Pair]) -> Block:
    """Return a block of these places, without those that no requested pair needs."""
    rows, columns = set(origins), set(destinations)
    inside = frozenset(pair for pair in wanted if pair[0] in rows and pair[1] in columns)
    starts, ends = {origin for origin, _ in inside}, {destination for _, destination in inside}
    return Block(tuple(o for o in origins if o in starts), tuple(d for d in destinations if d in ends), inside)


def _cells(block: Block) -> int:
    return len(block.origins) * len(block.destinations)
