"""The plan of a query of leads: its pages, its price, and the purchases that are refused."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from batchyard_contracts.workload import Permanent
from services.worker.workloads.leads.answer import LeadAnswer
from services.worker.workloads.leads.model import LeadSource, Preview
from services.worker.workloads.leads.plan import pages_of, preview_of

CRITERIA = [{"name": "ZipFive", "value": [97202]}]


def _source(**more: object) -> LeadSource:
    return LeadSource.model_validate({"criteria": CRITERIA, **more})


def _preview(source: LeadSource, found: int, free: int, cost: str | None, price: str | None = None) -> Preview:
    answer = LeadAnswer([], found, None if cost is None else Decimal(cost), free)
    return preview_of(source, answer, 400, None if price is None else Decimal(price), 2.0)


@pytest.mark.parametrize("bounds", [{}, {"max_results": 5}, {"budget": 5}])
def test_a_purchase_without_both_bounds_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="max_results and budget"):
        _source(purchase=True, **bounds)


@pytest.mark.parametrize(
    ("found", "free", "cost", "price", "wanted"),
    [
        (1000, 1000, "0.00", None, "0"),
        (1000, 0, "4.00", None, "10.00"),  # the first page of 400 at this price
        (1000, 999, "0.00", None, None),  # one record that is not free, and no word of what it costs
        (1000, 999, "0.00", "0.015", "0.02"),
        (100, 0, "1.00", None, "1.00"),
        (0, 0, "0.00", None, "0.00"),
    ],
)
def test_the_cost_is_the_providers_or_by_the_price(
    found: int, free: int, cost: str, price: str | None, wanted: str | None
) -> None:
    assert _preview(_source(), found, free, cost, price).cost == (None if wanted is None else Decimal(wanted))


def test_pages_cover_what_was_asked_for_and_share_the_budget() -> None:
    source = _source(purchase=True, max_results=900, budget="9.0001")
    preview = _preview(source, 5000, 0, "4.00")
    pages = pages_of(source, preview, 400, allowed=True)
    assert [(page.start, page.limit) for page in pages] == [(0, 400), (400, 400), (800, 100)]
    assert [page.cost_limit for page in pages] == [Decimal("4.0000"), Decimal("4.0000"), Decimal("1.0000")]
    assert sum(page.cost_limit for page in pages) <= Decimal("9.0001")


@pytest.mark.parametrize(
    ("allowed", "free", "cost", "budget", "code"),
    [
        (False, 5000, "0.00", 10, "charges_not_allowed"),
        (True, 10, "0.00", 10, "cost_unknown"),
        (True, 0, "4.00", 8, "over_budget"),
    ],
)
def test_a_refused_purchase_states_the_reason(allowed: bool, free: int, cost: str, budget: int, code: str) -> None:
    source = _source(purchase=True, max_results=900, budget=budget)
    with pytest.raises(Permanent) as refused:
        pages_of(source, _preview(source, 5000, free, cost), 400, allowed=allowed)
    assert refused.value.code == code


def test_without_a_purchase_there_is_nothing_to_run() -> None:
    source = _source(max_results=900)
    assert pages_of(source, _preview(source, 5000, 5000, "0.00"), 400, allowed=False) == []
