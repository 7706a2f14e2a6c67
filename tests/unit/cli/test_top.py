"""`batchyard top` shows the numbers of the other commands, and goes on when Batchyard comes back."""

from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from threading import Event
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.text import Text
from textual.widgets import DataTable, Static

from services.cli.client.address import Address
from services.cli.client.api import Api
from services.cli.client.documents import Batch
from services.cli.client.series_documents import Series, SeriesPoint
from services.cli.errors import NotReachable, Refused
from services.cli.exit_codes import Exit
from services.cli.top.app import BatchPage, OverviewPage, TopApp
from services.cli.top.blocks import batch_cells, series_lines
from services.cli.top.reader import TopReader
from tests.support.patience import PATIENCE_S, until
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state
from tests.unit.cli.test_overview import FULL
from tests.unit.cli.test_series import POINTS

OTHER = BATCH[:-1] + "2"


class FakeApi(Api):
    """Answers from memory what a server would."""

    def __init__(self) -> None:
        super().__init__(Address("http://batchyard.test"))
        self.is_away = False
        self.sent: list[str] = []
        self.status = "running"
        self.refuses = False
        self.may_answer = Event()
        self.may_answer.set()

    def get(self, path: str, query: Any = None, *, answer_s: float = 60.0) -> bytes:
        if self.is_away:
            raise NotReachable("Nothing answers at http://batchyard.test.")
        documents: dict[str, Any] = {
            "/overview": FULL,
            "/batches": {"batches": [state(name="Friday sets"), state(batch_id=OTHER, name="Leads")]},
            "/series": {"step_s": 10, "points": POINTS},
            f"/batches/{BATCH}": state(name="Friday sets", status=self.status, counts=COUNTS),
            f"/batches/{OTHER}": state(batch_id=OTHER, name="Leads"),
        }
        if path.endswith("/failures"):
            found: Any = {"groups": [{"code": "captcha", "count": 2, "message": "HTTP 403", "ordinals": [1, 2]}]}
        elif path.endswith("/reasons"):
            found = {"reasons": [{"code": "rate_limit", "detail": "The rate is 2/s."}], "waiting": 1}
        elif path.endswith("/series"):
            found = documents["/series"]
        else:
            found = documents[path]
        return msgspec.json.encode(found)

    def send(self, method: str, path: str, document: Any = None, query: Any = None, *, answer_s: float = 60.0) -> bytes:
        assert self.may_answer.wait(PATIENCE_S)
        if self.refuses:
            raise Refused("The batch has just ended.")
        self.sent.append(f"{method} {path}")
        self.status = "paused" if path.endswith("pause") else "running"
        return b"{}"


COUNTS = {"total": 4, "succeeded": 1, "failed": 2, "remaining": 1}


def words(app: TopApp, part: str) -> str:
    """Text of a part of the page, as a terminal shows it."""
    console = Console(width=140, record=True, file=StringIO())
    console.print(app.screen.query_one(part, Static).content)
    return " ".join(console.export_text().split())


async def shown(pilot: Any, found: Callable[[], object]) -> None:
    async def look() -> object:
        await pilot.pause()
        return found()

    await until(look, bool)


@pytest.mark.parametrize("width", [40, 140])
async def test_the_overview_leads_to_a_batch_and_back(width: int) -> None:
    app = TopApp(TopReader(FakeApi(), None))
    async with app.run_test(size=(width, 40)) as pilot:
        await shown(pilot, lambda: isinstance(app.screen, OverviewPage))
        table = app.screen.query_one(DataTable)
        await shown(pilot, lambda: table.row_count == 2)
        text = words(app, "#overview")
        assert "batches 2 running, 1 open, 0 paused" in text
        assert "at most 10/s" in text
        await pilot.press("j")
        assert table.cursor_row == 1
        await pilot.press("k", "enter")
        await shown(pilot, lambda: isinstance(app.screen, BatchPage))
        await shown(pilot, lambda: "The rate is 2/s." in words(app, "#batch"))
        assert "captcha" in words(app, "#batch")
        await pilot.press("escape")
        await shown(pilot, lambda: isinstance(app.screen, OverviewPage))
        await pilot.press("q")
    assert app.return_code == 0


def test_a_batch_in_the_list_shows_when_it_will_end() -> None:
    times = dict.fromkeys(("at", "p10", "p50", "p90"), "2026-11-21T21:00:00Z")
    running = msgspec.json.decode(msgspec.json.encode(state(forecast=times)), type=Batch)
    name, _, progress, _ = batch_cells(running, datetime.now(UTC), 200)
    assert name.plain == BATCH
    assert "ends at" in progress.plain


@pytest.mark.parametrize("width", [40, 60, 140])
def test_a_chart_fits_the_terminal(width: int) -> None:
    points = [SeriesPoint(datetime.now(UTC), float(n), 1.0, 0.0, 5.0, 12345.0) for n in range(40)]
    lines = series_lines(Series(10, points), width)
    assert len(lines) == 3
    for line in lines:
        assert isinstance(line, Text)
        assert len(line.plain) <= width - 2
        assert "▁" in line.plain or "█" in line.plain


async def test_a_batch_is_paused_and_resumed() -> None:
    api = FakeApi()
    app = TopApp(TopReader(api, None), BATCH)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot, lambda: isinstance(app.screen, BatchPage) and app.screen.chosen())
        await pilot.press("p")
        await shown(pilot, lambda: api.sent == [f"POST /batches/{BATCH}/pause"])
        await shown(pilot, lambda: "paused" in words(app, "#batch"))
        await pilot.press("p")
        await shown(pilot, lambda: api.sent[1:] == [f"POST /batches/{BATCH}/resume"])


async def test_the_page_goes_on_while_a_command_waits_for_its_answer() -> None:
    api = FakeApi()
    api.may_answer.clear()
    app = TopApp(TopReader(api, None), BATCH)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot, lambda: isinstance(app.screen, BatchPage) and app.screen.chosen())
        await pilot.press("p", "l")
        await shown(pilot, lambda: "updates off" in words(app, "#note"))
        assert api.sent == []
        api.may_answer.set()
        await shown(pilot, lambda: api.sent == [f"POST /batches/{BATCH}/pause"])


async def test_a_refused_command_is_shown_with_its_reason() -> None:
    api = FakeApi()
    app = TopApp(TopReader(api, None), BATCH)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot, lambda: isinstance(app.screen, BatchPage) and app.screen.chosen())
        api.refuses = True
        await pilot.press("p")
        await shown(pilot, lambda: [each.message for each in app._notifications] == ["The batch has just ended."])


async def test_data_stay_with_their_age_while_nothing_answers() -> None:
    api = FakeApi()
    app = TopApp(TopReader(api, None), BATCH)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot, lambda: isinstance(app.screen, BatchPage) and app.screen.chosen())
        api.is_away = True
        app.screen.query_one("#batch")
        assert isinstance(app.screen, BatchPage)
        app.screen.load()
        await shown(pilot, lambda: "Shown as of" in words(app, "#note"))
        assert "Nothing answers" in words(app, "#note")
        assert "Friday sets" in words(app, "#batch")
        api.is_away = False
        app.screen.load()
        await shown(pilot, lambda: "Nothing answers" not in words(app, "#note"))


async def test_without_a_terminal_it_says_so(run: Run, cluster: FakeCluster) -> None:
    ended = await run("top")
    assert ended.code == Exit.USAGE
    assert "draws on a terminal" in ended.err
