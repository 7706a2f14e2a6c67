"""The workload `leads`: counts records by criteria, and buys them page by page if batch and operator allow it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from batchyard_contracts.v1.manifest import Adaptive, CircuitRule, RecordsExport, Unit
from batchyard_contracts.v1.values import RetryRule
from batchyard_contracts.workload import (
    Chunking,
    Context,
    Continuation,
    Expansion,
    Exports,
    ItemInfo,
    Limits,
    Permanent,
    Retry,
    Workload,
)
from services.worker.workloads.leads.answer import LeadAnswer
from services.worker.workloads.leads.model import LeadPage, Leads, LeadSource, LeadsTotal
from services.worker.workloads.leads.plan import pages_of, preview_of
from services.worker.workloads.leads.property_radar_client import PropertyRadarClient, open_radar
from services.worker.workloads.leads.settings import LeadsSettings

_RATE = Adaptive(floor=0.2, ceiling=2, start=2)
"""Calls a second. The provider publishes no limit; two were accepted by experience."""
_NOTHING = Decimal(0)
_CRITERIA: list[Any] = [{"name": "ZipFive", "value": [97202]}, {"name": "AvailableEquity", "value": [[100000, None]]}]

workload = Workload(
    "leads",
    version="1",
    item=LeadPage,
    result=Leads,
    lifespan=open_radar,
    unavailable=lambda: LeadsSettings().missing(),
    title="Leads",
    description="Properties and their owners by criteria, from PropertyRadar: counted for nothing, or bought.",
    chunking=Chunking(max=1),
    limits=Limits(concurrency=4, item_timeout_s=300.0, adaptive=_RATE),
    retry=Retry(
        {
            "default": RetryRule(attempts=6, base_s=1.0, cap_s=60.0),
            "invalid_response": RetryRule(attempts=2, base_s=5.0, cap_s=5.0),
        },
        circuit=CircuitRule(base_s=30.0, cap_s=900.0, give_up_s=3600.0),
        repeatable=lambda page, context: context.state is None,  # the run that buys is the second one
    ),
    exports=Exports(records=RecordsExport(records="/records", id="/RadarID")),
    unit=Unit(name="records", count="/count"),
    example={"criteria": _CRITERIA, "start": 0, "limit": 400, "cost_limit": "0"},
)


@workload.source(LeadSource, example={"criteria": _CRITERIA})
async def expand(source: LeadSource, context: Context) -> Expansion:
    """Count what fits; with a purchase that is allowed and within its bounds, the pages to buy."""
    radar: PropertyRadarClient = context.resources
    settings = radar.settings
    counted = await radar.preview(source, 0, settings.page)
    preview = preview_of(source, counted, settings.page, settings.price, _RATE.ceiling)
    pages = pages_of(source, preview, settings.page, allowed=settings.allow_charges)
    return Expansion(pages, result=preview, units=preview.records)


@workload.handler
async def run(page: LeadPage, context: Context) -> Leads | Continuation:
    """First see what the page costs now; then, with that on record, buy it, in a run that is not repeated."""
    radar: PropertyRadarClient = context.resources
    if not radar.settings.allow_charges:
        raise Permanent("charges_not_allowed", "These workers buy nothing: BATCHYARD_LEADS_ALLOW_CHARGES is not set.")
    if context.state is not None:
        return _leads(page, await radar.purchase(page, page.start, page.limit))
    seen = await radar.preview(page, page.start, page.limit)
    if (seen.found or 0) <= page.start:  # fewer fit than when they were counted
        return _leads(page, replace(seen, cost=_NOTHING))
    if seen.cost is None or seen.cost > page.cost_limit:
        raise Permanent(
            "over_budget",
            f"These {page.limit} records would cost {seen.cost or 'an unknown sum'} now, their part of the budget is "
            f"{page.cost_limit}. Nothing of them was bought.",
        )
    return Continuation({"cost": str(seen.cost), "free_remaining": seen.free_remaining}, 0.0)


@workload.summary
class LeadTotals:
    """Summary of a batch: adds up its pages."""

    def __init__(self) -> None:
        self._total = LeadsTotal(pages=0, records=0, cost=_NOTHING, without_cost=0, free_remaining=None)

    def add(self, result: Leads, _: ItemInfo) -> None:
        """Add a page."""
        total, left = self._total, [result.free_remaining, self._total.free_remaining]
        self._total = LeadsTotal(
            pages=total.pages + 1,
            records=total.records + result.count,
            cost=total.cost + (result.cost or _NOTHING),
            without_cost=total.without_cost + (result.cost is None),
            free_remaining=min((one for one in left if one is not None), default=None),
        )

    def finish(self) -> LeadsTotal:
        """Return the total of the batch."""
        return self._total


def _leads(page: LeadPage, answer: LeadAnswer) -> Leads:
    return Leads(
        start=page.start,
        count=len(answer.records),
        found=answer.found,
        cost=answer.cost,
        free_remaining=answer.free_remaining,
        records=answer.records,
    )
