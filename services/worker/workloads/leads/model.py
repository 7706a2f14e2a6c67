"""Items and results of the leads workload: a query, and the pages of its records."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

MAX_RECORDS = 1_000_000
MAX_PAGE = 1000
"""Largest number of records of one request."""
FIELDS = (
    *("RadarID", "Address", "City", "State", "ZipFive", "County", "APN", "PType", "Beds", "Baths", "SqFt", "YearBuilt"),
    *("Owner", "OwnershipType", "isSameMailing", "AVM", "AvailableEquity", "EquityPercent", "isHighEquity"),
    *("DistressScore", "inForeclosure", "isListedForSale", "inTaxDelinquency", "PhoneAvailability"),
    *("EmailAvailability", "Latitude", "Longitude"),
)
"""Default fields of a record, unless a batch asks for others."""
Money = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=12, decimal_places=4)]
FieldName = Annotated[str, StringConstraints(pattern=r"^-?[A-Za-z][A-Za-z0-9_]{0,63}$")]


class Criterion(BaseModel):
    """One condition, as PropertyRadar writes it: `{"name": "ZipFive", "value": [97202, 97212]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    value: Annotated[list[JsonValue], Field(min_length=1, max_length=1000)]


class Query(BaseModel):
    """Properties to find, and the fields to buy of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criteria: Annotated[list[Criterion], Field(min_length=1, max_length=50)]
    fields: Annotated[list[FieldName], Field(min_length=1, max_length=300)] = list(FIELDS)
    sort: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}([ :](asc|desc|ASC|DESC))?$")] | None
    ) = None


class LeadSource(Query):
    """Criteria, whose records are counted; with `purchase` they are bought, no more than `max_results`, for no more
    than `budget`, which is in the currency of the account."""

    purchase: bool = False
    max_results: Annotated[int, Field(ge=1, le=MAX_RECORDS)] | None = None
    budget: Money | None = None

    @model_validator(mode="after")
    def _has_bounds(self) -> "LeadSource":
        if self.purchase and (self.max_results is None or self.budget is None):
            raise ValueError("a purchase has bounds: give max_results and budget (0 takes what is free)")
        return self


class LeadPage(Query):
    """Records `start` to `start + limit - 1` of a query, to be bought for no more than `cost_limit`."""

    start: Annotated[int, Field(ge=0, lt=MAX_RECORDS)]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)]
    cost_limit: Money


class Preview(BaseModel):
    """Expected size and cost of a query: the result of the source."""

    found: int
    """Number of records that match."""
    records: int
    """Records that are bought, or would be: at most `max_results`."""
    pages: int
    cost: Decimal | None
    """Cost beyond the free quota; None when it is not known."""
    free_remaining: int
    calls: int
    seconds: float
    """Duration of the purchase at the provider's rate limit."""
    purchase: bool
    """True when the records are bought now."""


class Leads(BaseModel):
    """Records of a page. They contain personal data, and are hidden in logs."""

    start: int
    count: int
    found: int | None
    """Number of records that matched the query when this page was bought; null where the answer does not state it."""
    cost: Decimal | None
    """Cost of the page; null where the answer does not state it."""
    free_remaining: int | None
    records: list[dict[str, Any]] = Field(repr=False)


class LeadsTotal(BaseModel):
    """Summary of a batch: the records that it bought."""

    pages: int
    records: int
    cost: Decimal
    """Sum of the costs that are known."""
    without_cost: int
    """Number of pages whose answer did not state their cost."""
    free_remaining: int | None
    """Smallest remaining quota that the answers of the pages stated."""
