"""Saves schedules over HTTP, makes them due, and waits for their runs."""

from datetime import UTC, datetime
from typing import Any

from tests.support.patience import until
from tests.support.running_ingest import IngestHarness

BATCH: dict[str, Any] = {"workload": "squares", "items": [{"payload": {"n": 1}}]}


async def save_schedule(harness: IngestHarness, name: str = "tick", **fields: Any) -> dict[str, Any]:
    """Save a schedule with one time a day, which is this minute."""
    now = datetime.now(UTC)
    form = {"cron": f"{now.minute} {now.hour} * * *", "batch": BATCH, **fields}
    body = {name: value for name, value in form.items() if value is not None}
    async with harness.http.put(f"{harness.url}/schedules/{name}", json=body) as response:
        found: dict[str, Any] = await response.json()
        assert response.status == 200, found
        return found


async def make_due(harness: IngestHarness, *, minutes: int = 5) -> None:
    """Let all schedules be due for their times of the last minutes."""
    await harness.rows("UPDATE schedules SET next_at = now() - make_interval(mins => $1) WHERE NOT paused", minutes)


async def runs_of(
    harness: IngestHarness, *, name: str = "tick", states: set[str], number: int = 1, origin: str | None = None
) -> list[Any]:
    """Return the runs of a schedule once `number` of them have one of these states."""

    async def fitting() -> list[Any]:
        runs = (await harness.get(f"/schedules/{name}/runs"))[1]["runs"]
        return [run for run in runs if run["state"] in states and origin in {None, run["origin"]}]

    return await until(fitting, lambda found: len(found) >= number)
