"""Tells in words when a batch would end, what would let it end in time, and whom it would delay."""

from collections.abc import Iterator
from datetime import datetime

from services.cli.client.estimate_documents import Estimate
from services.cli.rendering.counted import counted
from services.cli.rendering.forecast_text import forecast_text
from services.cli.rendering.spans import clock


def estimate_lines(found: Estimate, now: datetime) -> Iterator[str]:
    """Yield the lines, the most important first."""
    yield f"{counted(found.items, 'item')} would end {forecast_text(found.forecast, now)}"
    if found.forecast.reason:
        yield found.forecast.reason.detail
    if found.chance is not None:
        yield f"The chance to end by the deadline is {found.chance:.0%}."
    yield from (one.detail for one in found.alternatives)
    if found.chance is not None and found.chance < 0.9 and not found.alternatives:
        yield "No single change of a weight, a rate or a concurrency was found that would do."
    for one in found.delays:
        yield f"It would delay {one.batch_id} by {clock(one.by_s)}."
    if others := found.delays_of_others:
        yield f"It would delay {counted(others, 'batch', 'batches')} of others."
