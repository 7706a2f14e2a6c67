"""Rates at which strands of items run side by side: weighted max-min fairness under limits, for many draws at once.

Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): all rates grow in proportion to their weights; a
limit that is reached holds the strands that share it, and the others grow on.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.dispatcher.domain.forecasting.load import WorkloadLoad

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_MAX_ROUNDS = 24
_SHARE_OF_FIRST = 1e4
"""Weight of a priority in proportion to that of the next one."""
_LOW_RANK, _LOW_SHARE = 2, 1 / 19
"""Place of the priority `low`, and its weight in proportion to that of all others."""
_TINY = 1e-9
SLOTS = 0
"""Place of the workers' slots among the limits."""
OWN = -1
"""Stands for the limit of a strand that has no further items to run at once."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Weights of strands, and the limits that they share."""

    members: Floats
    """By limit and strand: 1 if the strand shares the limit."""
    is_concurrency: Flags
    """By limit: True if it counts items that run at once, not items a second."""
    batch_of: npt.NDArray[np.intp]
    owner_of: npt.NDArray[np.intp]
    """By batch: its owner within its priority."""
    batch_weights: Floats
    owner_weights: Floats
    ranks: npt.NDArray[np.intp]
    places: tuple[int, ...]
    """By limit but for the first: its place in `WorkloadLoad.limits`."""

    @classmethod
    def of(cls, load: WorkloadLoad) -> "Shares":
        """Return the shares of a load."""
        batches, strands = load.batches, load.strands
        groups = list(dict.fromkeys((batch.owner, batch.rank) for batch in batches))
        rows, kinds, places = [np.ones(len(strands))], [True], []
        shares = [(*strand.limits, *batches[strand.batch].limits) for strand in strands]
        for place, limit in enumerate(load.limits):
            row = np.array([float(place in share) for share in shares])
            for value, is_concurrency in ((limit.per_second, False), (limit.concurrency, True)):
                if value is not None:
                    rows.append(row)
                    kinds.append(is_concurrency)
                    places.append(place)
        return cls(
            members=np.array(rows).reshape(len(rows), len(strands)),
            is_concurrency=np.array(kinds),
            batch_of=np.array([strand.batch for strand in strands], dtype=np.intp),
            owner_of=np.array([groups.index((batch.owner, batch.rank)) for batch in batches], dtype=np.intp),
            batch_weights=np.array([batch.weight for batch in batches]),
            owner_weights=np.array([batch.owner_weight for batch in batches]),
            ranks=np.array([batch.rank for batch in batches], dtype=np.intp),
            places=tuple(places),
        )

    def weights(self, active: Flags) -> Floats:
        """Return the weight of each active strand, 0 of the others, by draw."""
        draws, batches = len(active), len(self.batch_weights)
        strands_of = np.zeros((draws, batches))
        for strand, batch in enumerate(self.batch_of):
            strands_of[:, batch] += active[:, strand]
        batch_weights = self.batch_weights * (strands_of > 0)
        owner_sums = np.zeros((draws, int(self.owner_of.max()) + 1))
        for batch, owner in enumerate(self.owner_of):
            owner_sums[:, owner] += batch_weights[:, batch]
        found = self.owner_weights * batch_weights / np.maximum(owner_sums[:, self.owner_of], _TINY)
        is_low = self.ranks >= _LOW_RANK
        found *= np.where(is_low, 1.0, _SHARE_OF_FIRST ** (1.0 - self.ranks))
        low, others = found[:, is_low].sum(axis=1), found[:, ~is_low].sum(axis=1)
        factor = np.where((low > 0) & (others > 0), others * _LOW_SHARE / np.maximum(low, _TINY), 1.0)
        found[:, is_low] *= factor[:, None]
        by_strand = found[:, self.batch_of] / np.maximum(strands_of[:, self.batch_of], 1.0)
        return np.where(active, by_strand, 0.0)


def fair_rates(
    shares: Shares, active: Flags, seconds: Floats, capacities: Floats, own: Floats
) -> Generator[None, None, tuple[Floats, list[int | None]]]:
    """Return the rates of the active strands, by draw and strand, and the limits that hold those of the first draw;
    yields between short steps.

    `seconds`: duration of an item; `capacities`: by draw and limit; `own`: largest rate of a strand by itself.
    """
    weights = shares.weights(active)
    rates, slack, free = np.zeros_like(seconds), capacities.copy(), active & (own > 0)
    held: list[int | None] = [None] * active.shape[1]
    for _ in range(_MAX_ROUNDS):
        growing = np.where(free, weights, 0.0)
        growth = np.where(shares.is_concurrency, (growing * seconds) @ shares.members.T, growing @ shares.members.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.where(growth > 0, slack / growth, np.inf).min(axis=1)
            steps = np.minimum(steps, np.where(free, (own - rates) / growing, np.inf).min(axis=1))
        steps = np.where(np.isfinite(steps), np.maximum(steps, 0.0), 0.0)[:, None]
        rates += growing * steps
        slack -= growth * steps
        full = (growth > 0) & (slack <= _TINY * np.maximum(capacities, _TINY))
        at_limit = free & ((full.astype(np.float64) @ shares.members) > 0)
        at_own = free & (rates >= own * (1 - _TINY))
        _record_held(held, shares, full[0], at_limit[0], at_own[0])
        free &= ~(at_limit | at_own)
        if not free.any():
            break
        yield
    return rates, held


def _record_held(held: list[int | None], shares: Shares, full: Flags, at_limit: Flags, at_own: Flags) -> None:
    for strand in np.flatnonzero(at_limit | at_own):
        reached = np.flatnonzero(full & (shares.members[:, strand] > 0))
        held[strand] = OWN if at_own[strand] or not len(reached) else int(reached[-1])
