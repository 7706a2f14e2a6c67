"""Finds the ways of a chunk: each pair once, cached ones in Redis, the others with as few calls as possible."""

import asyncio
from collections.abc import Iterable, Sequence

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.distances.blocks import Block, Pair, cover
from services.worker.workloads.distances.known_routes import KnownRoutes
from services.worker.workloads.distances.model import TravelMode
from services.worker.workloads.distances.places import Leg, Route
from services.worker.workloads.distances.providers.provider import (
    NOT_ROUTABLE,
    DistanceProvider,
    Found,
    ModeRefused,
    PairRefused,
    PlaceRefused,
)

REFUSALS_IN_A_ROW = 20
"""Number of errors without a stated cause in a row after which a block is not divided any further: more than one bad
place causes, and few enough for a provider that refuses every call."""
MODE_NOT_SERVED = "mode_not_served"
LATE = Transient("timeout", "The provider had not answered for it when the time was up.")
"""Error of a leg that was not answered in time."""


class Router:
    """A provider with the cache of its earlier answers."""

    def __init__(self, provider: DistanceProvider, known: KnownRoutes, calls_at_once: int) -> None:
        self._provider = provider
        self._known = known
        self._calls = asyncio.Semaphore(calls_at_once)

    @property
    def name(self) -> str:
        """Name of the provider."""
        return self._provider.name

    async def routes(self, legs: Iterable[Leg], within_s: float) -> dict[Leg, Found]:
        """Find each leg's way or its error: `LATE` if it was not answered within `within_s` seconds. Answers count and
        are cached even if others fail, because they may have been paid for."""
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
            await self._known.keep({leg: way for leg, way in asked.items() if isinstance(way, Route)})
        return found | asked

    async def _ask(self, block: Block, mode: TravelMode, asked: dict[Leg, Found], refusal: list[WorkloadError]) -> None:
        """Request a block, and its halves if the provider refuses it, so that one pair fails no other."""
        blocks = [block]
        in_a_row = 0
        while blocks:
            block = blocks.pop()
            try:
                async with self._calls:
                    if refusal:
                        raise refusal[0]
                    matrix = await self._provider.matrix(block.origins, block.destinations, mode)
            except PairRefused as error:
                blocks += _halves(block, mode, asked, error.found)
            except PlaceRefused as error:
                smaller = block.without(error.place)
                _settle(block.wanted - (smaller.wanted if smaller else frozenset()), mode, asked, NOT_ROUTABLE)
                blocks += [smaller] if smaller else []
            except ModeRefused as error:
                _settle(block.wanted, mode, asked, Permanent(MODE_NOT_SERVED, str(error)))
            except WorkloadError as error:
                of_all = isinstance(error, RateLimited) or error.scope == "provider"
                in_a_row += 1
                if of_all:
                    refusal.append(error)
                if of_all or error.code in _OF_NO_PAIR or in_a_row > REFUSALS_IN_A_ROW:
                    _settle(block.wanted, mode, asked, error)
                else:
                    blocks += _halves(block, mode, asked, error)
            else:
                in_a_row = 0
                _note(block, mode, matrix, asked)


_OF_NO_PAIR = frozenset(("timeout", "response_too_large"))
"""Codes of errors that do not come from one pair."""
_NO_CELL = Permanent("not_computed", "The provider computed other pairs, and said that it could not compute this one.")


def _halves(block: Block, mode: TravelMode, asked: dict[Leg, Found], found: Found) -> Sequence[Block]:
    halves = block.halves()
    if not halves:
        _settle(block.wanted, mode, asked, found)
    return halves


def _settle(pairs: Iterable[Pair], mode: TravelMode, asked: dict[Leg, Found], found: Found) -> None:
    for pair in pairs:
        asked.setdefault(Leg(*pair, mode), found)


def _note(block: Block, mode: TravelMode, matrix: Sequence[Sequence[Found | None]], asked: dict[Leg, Found]) -> None:
    """Store the requested ways of an answer, and also the others, which a later chunk may need."""
    for origin, row in zip(block.origins, matrix, strict=True):
        for destination, cell in zip(block.destinations, row, strict=True):
            if isinstance(cell, Route):
                asked[Leg(origin, destination, mode)] = cell
            elif (origin, destination) in block.wanted:
                asked[Leg(origin, destination, mode)] = cell or _NO_CELL
