"""Finds the ways of a chunk: each pair once, what is known from memory, the rest by as few calls as can be."""

import asyncio
from collections.abc import Iterable, Sequence

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.distances.blocks import Block, Pair, cover
from services.worker.workloads.distances.known_ways import KnownWays
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Leg, Way
from services.worker.workloads.distances.providers.provider import DistanceProvider, PairRefused, PlaceRefused, TooLarge

Found = Way | WorkloadError
LATE = Transient("timeout", "The provider had not answered for it when the time was up.")
"""Error of a leg that was not answered in time."""


class Router:
    """Provider together with the cache of its earlier answers."""

    def __init__(self, provider: DistanceProvider, known: KnownWays, calls_at_once: int) -> None:
        self._provider = provider
        self._known = known
        self._calls = asyncio.Semaphore(calls_at_once)

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self._provider.name

    async def ways(self, legs: Iterable[Leg], within_s: float) -> dict[Leg, Found]:
        """Find each leg's way, or the error that it ends with: `LATE` for what was not answered within so many
        seconds. What was found counts and is kept, whatever became of others: it may have been paid for."""
        wanted = list(dict.fromkeys(legs))
        found: dict[Leg, Found] = {}
        asked: dict[Leg, Found] = {}
        try:
            async with asyncio.timeout(within_s):
                found |= await self._known.find(wanted)
                missing = [leg for leg in wanted if leg not in found]
                refusal: list[WorkloadError] = []
                async with asyncio.TaskGroup() as group:
                    for mode in dict.fromkeys(leg.mode for leg in missing):
                        pairs = [(leg.origin, leg.destination) for leg in missing if leg.mode == mode]
                        for block in cover(pairs, self._provider.limits):
                            group.create_task(self._ask(block, mode, asked, refusal))
        except TimeoutError:
            found |= {leg: LATE for leg in wanted if leg not in found}
        finally:
            await self._known.keep({leg: way for leg, way in asked.items() if isinstance(way, Way)})
        return found | asked

    async def _ask(self, block: Block, mode: TravelMode, asked: dict[Leg, Found], refusal: list[WorkloadError]) -> None:
        """Ask for a block, in smaller ones where the provider refuses it whole, until it refuses everything."""
        blocks = [block]
        while blocks:
            block = blocks.pop()
            try:
                async with self._calls:
                    if refusal:
                        raise refusal[0]
                    matrix = await self._provider.matrix(block.origins, block.destinations, mode)
            except TooLarge:
                blocks += self._halves(block, mode, asked, _TOO_LARGE)
            except PairRefused as error:
                blocks += self._halves(block, mode, asked, Permanent("too_far", f"{error}"))
            except PlaceRefused as error:
                refused = Permanent("place_not_routable", str(error))
                if error.place is None:
                    blocks += self._halves(block, mode, asked, refused)
                    continue
                smaller = block.without(error.place)
                _fail(block.wanted - (smaller.wanted if smaller else frozenset()), mode, asked, refused)
                blocks += [smaller] if smaller else []
            except WorkloadError as error:
                if isinstance(error, RateLimited) or error.scope == "provider":
                    refusal.append(error)
                _fail(block.wanted, mode, asked, error)
            else:
                _note(block, mode, matrix, asked)

    def _halves(
        self, block: Block, mode: TravelMode, asked: dict[Leg, Found], refused: WorkloadError
    ) -> Sequence[Block]:
        halves = block.halves()
        if not halves:
            _fail(block.wanted, mode, asked, refused)
        return halves


_TOO_LARGE = Permanent(
    "block_refused", "The provider refuses a single pair as too large. Check its limits.", scope="provider"
)
_NO_CELL = Permanent("not_computed", "The provider computed other pairs, and said that it could not compute this one.")


def _fail(pairs: Iterable[Pair], mode: TravelMode, asked: dict[Leg, Found], error: WorkloadError) -> None:
    for pair in pairs:
        asked.setdefault(Leg(*pair, mode), error)


def _note(block: Block, mode: TravelMode, matrix: Sequence[Sequence[Way | None]], asked: dict[Leg, Found]) -> None:
    """Take what was asked for out of an answer, and what came with it: a later chunk may want it."""
    for origin, row in zip(block.origins, matrix, strict=True):
        for destination, way in zip(block.destinations, row, strict=True):
            if way is not None:
                asked[Leg(origin, destination, mode)] = way
            elif (origin, destination) in block.wanted:
                asked[Leg(origin, destination, mode)] = _NO_CELL
