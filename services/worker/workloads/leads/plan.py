"""Plans a query: its number of pages, its cost, and whether the records may be bought."""

import math
from decimal import ROUND_UP, Decimal

from batchyard_contracts.workload import Permanent
from services.worker.workloads.leads.answer import LeadAnswer
from services.worker.workloads.leads.model import LeadPage, LeadSource, Preview

_CENT = Decimal("0.01")
CALLS_A_PAGE = 2
"""Number of requests for each page: a free one that states the cost, and one that buys."""


def preview_of(
    source: LeadSource, counted: LeadAnswer, page: int, price: Decimal | None, calls_per_s: float
) -> Preview:
    """Preview a query by the answer that counted it. `price`: of a record beyond the free quota, if known."""
    found = counted.found or 0
    records = min(found, source.max_results or found)
    pages = math.ceil(records / page)
    calls = 1 + pages * CALLS_A_PAGE
    free = counted.free_remaining or 0
    return Preview(
        found=found,
        records=records,
        pages=pages,
        cost=_cost(records, min(records, page), free, counted.cost, price),
        free_remaining=free,
        calls=calls,
        seconds=round(calls / calls_per_s, 1),
        purchase=source.purchase,
    )


def pages_of(source: LeadSource, preview: Preview, page: int, *, allowed: bool) -> list[LeadPage]:
    """Return the pages to buy; an empty list without a purchase. Raises `Permanent` when they may not be bought."""
    if not source.purchase or not preview.records:
        return []
    if source.budget is None:
        raise Permanent("no_budget", "A purchase has bounds: give max_results and budget.")
    if not allowed:
        raise Permanent(
            "charges_not_allowed",
            "These workers buy nothing. Their operator allows it with BATCHYARD_LEADS_ALLOW_CHARGES=true; without "
            "`purchase` the records are counted.",
        )
    if preview.cost is None:
        raise Permanent(
            "cost_unknown",
            f"{preview.records} records are wanted, {preview.free_remaining} are free, and what the others cost is not "
            "known. Lower max_results, or have the operator set BATCHYARD_LEADS_PRICE.",
        )
    if preview.cost > source.budget:
        raise Permanent(
            "over_budget",
            f"{preview.records} records would cost {preview.cost}, the budget is {source.budget}. Raise it, or lower "
            "max_results.",
        )
    asked = source.model_dump(include={"criteria", "fields", "sort"})
    share = source.budget / preview.records
    return [
        LeadPage(
            **asked, start=start, limit=(limit := min(page, preview.records - start)), cost_limit=_floor(share * limit)
        )
        for start in range(0, preview.records, page)
    ]


def _cost(records: int, first: int, free: int, first_cost: Decimal | None, price: Decimal | None) -> Decimal | None:
    """Estimate the cost of `records`, when the first page of `first` records would cost `first_cost`."""
    if free >= records:
        return first_cost or Decimal(0)
    if first_cost:
        return (first_cost * records / first).quantize(_CENT, ROUND_UP)
    if price is None:
        return None
    return (price * (records - free)).quantize(_CENT, ROUND_UP)


def _floor(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"), "ROUND_DOWN")
