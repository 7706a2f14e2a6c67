"""The live terminal page: all batches, and one batch, with keys as in the dashboard."""

from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static
from textual.worker import Worker, WorkerState

from services.cli.client.documents import Batch
from services.cli.errors import CliError
from services.cli.top.blocks import BATCH_COLUMNS, batch_cells, batch_page, overview_block
from services.cli.top.reader import BatchData, OverviewData, TopReader

REFRESH_S = 2.0
_COMMANDS = "commands"
"""Group of the threads that send commands."""


class LivePage(Screen[None]):
    """Page that reads its data again every two seconds, and says how old they are when that fails."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "pause/resume"),
        Binding("l", "live", "live on/off"),
        Binding("question_mark", "help", "keys"),
    ]

    def __init__(self, reader: TopReader) -> None:
        super().__init__()
        self.reader = reader
        self._is_live = True
        self._read_at: datetime | None = None

    def on_mount(self) -> None:
        """Begin to read."""
        self.set_interval(REFRESH_S, self.refresh_data)
        self.load()

    def refresh_data(self) -> None:
        """Read again, unless updates are off or another page is shown."""
        if self._is_live and self.is_current:
            self.load()

    def load(self) -> None:
        """Read the data in a thread; the page stays as it is until they are there."""
        self.run_worker(self.read, thread=True, exclusive=True, exit_on_error=False)

    def read(self) -> object:
        """Read the data of the page; runs in a thread."""
        raise NotImplementedError

    def draw(self, data: object) -> None:
        """Show the data."""
        raise NotImplementedError

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what was read or done, or why it could not be."""
        if event.worker.group == _COMMANDS:
            self._show_command(event)
        elif event.state is WorkerState.SUCCESS:
            self._read_at = datetime.now(UTC)
            self.say("")
            self.draw(event.worker.result)
        elif event.state is WorkerState.ERROR:
            self.say_error(event.worker.error)

    def say_error(self, error: BaseException | None) -> None:
        """Show an error, and the age of what is shown."""
        what = error.what if isinstance(error, CliError) else repr(error)
        shown = "" if self._read_at is None else f"Shown as of {self._read_at.astimezone():%H:%M:%S}. "
        self.say(f"{shown}{what}")

    def say(self, words: str) -> None:
        """Show a line above the page."""
        state = "" if self._is_live else "updates off (l)  "
        self.query_one("#note", Static).update(Text(state + words, "yellow"))

    def action_live(self) -> None:
        """Turn updates on or off."""
        self._is_live = not self._is_live
        self.say("")

    def action_help(self) -> None:
        """Show the keys."""
        self.notify(
            "j k rows · Enter opens a batch · Escape back · p pause or resume · l live updates · t theme · q quit",
            title="Keys",
        )

    def chosen(self) -> Batch | None:
        """Return the batch that a command is for."""
        return None

    def action_pause(self) -> None:
        """Pause or resume the chosen batch, in a thread: the server may take its time."""
        batch = self.chosen()
        if batch is not None and batch.status != "finished":
            act = partial(self.reader.pause_or_resume, batch)
            self.run_worker(act, group=_COMMANDS, thread=True, exit_on_error=False)

    def _show_command(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.SUCCESS:
            self.notify(str(event.worker.result))
            self.load()
        elif event.state is WorkerState.ERROR:
            error = event.worker.error
            self.notify(error.what if isinstance(error, CliError) else repr(error), severity="error")
            self.load()


class OverviewPage(LivePage):
    """Page of all batches."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "row(1)", "next row", show=False),
        Binding("k", "row(-1)", "row before", show=False),
    ]

    def __init__(self, reader: TopReader) -> None:
        super().__init__(reader)
        self._batches: list[Batch] = []

    def compose(self) -> ComposeResult:
        """Return the parts of the page."""
        yield Static(id="note")
        table: DataTable[RenderableType] = DataTable(cursor_type="row", id="batches")
        table.add_columns(*BATCH_COLUMNS)
        yield table
        with VerticalScroll(can_focus=False):
            yield Static(id="overview")
        yield Footer()

    def read(self) -> OverviewData:
        """Read all batches."""
        return self.reader.overview()

    def draw(self, data: object) -> None:
        """Show all batches. The row that was chosen stays chosen, wherever it goes."""
        if not isinstance(data, OverviewData):
            return
        now, width = datetime.now(UTC), self.size.width
        chosen = self.chosen()
        self._batches = data.batches
        table = self.query_one("#batches", DataTable)
        table.clear()
        for batch in data.batches:
            table.add_row(*batch_cells(batch, now, width), key=batch.batch_id)
        ids = [batch.batch_id for batch in data.batches]
        if chosen is not None and chosen.batch_id in ids:
            table.move_cursor(row=ids.index(chosen.batch_id))
        table.styles.height = min(len(ids) + 2, max(4, self.size.height // 2))
        self.query_one("#overview", Static).update(overview_block(data, now, width))

    def chosen(self) -> Batch | None:
        """Return the batch of the row under the cursor."""
        row = self.query_one("#batches", DataTable).cursor_row
        return self._batches[row] if 0 <= row < len(self._batches) else None

    def action_row(self, step: int) -> None:
        """Go to another row."""
        table = self.query_one("#batches", DataTable)
        table.move_cursor(row=table.cursor_row + step)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the page of a batch."""
        if event.row_key.value is not None:
            self.app.push_screen(BatchPage(self.reader, event.row_key.value))


class BatchPage(LivePage):
    """Page of one batch."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
    ]

    def __init__(self, reader: TopReader, batch_id: str) -> None:
        super().__init__(reader)
        self._batch_id = batch_id
        self._batch: Batch | None = None

    def compose(self) -> ComposeResult:
        """Return the parts of the page."""
        yield Static(id="note")
        with VerticalScroll():
            yield Static(id="batch")
        yield Footer()

    def read(self) -> BatchData:
        """Read the batch."""
        return self.reader.batch(self._batch_id)

    def draw(self, data: object) -> None:
        """Show the batch."""
        if isinstance(data, BatchData):
            self._batch = data.batch
            self.query_one("#batch", Static).update(batch_page(data, self.size.width - 4))

    def chosen(self) -> Batch | None:
        """Return the batch."""
        return self._batch

    def action_back(self) -> None:
        """Go back to all batches, or end if the page was opened alone."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            self.app.exit()

    def action_scroll(self, step: int) -> None:
        """Scroll by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=3 * step, animate=False)


class TopApp(App[None]):
    """The application; it shows one batch, or all."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #note { height: auto; padding: 0 1; }
    #batches { height: auto; }
    VerticalScroll { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "quit"), Binding("t", "theme", "theme")]

    def __init__(self, reader: TopReader, batch_id: str | None = None) -> None:
        super().__init__()
        self._reader, self._batch_id = reader, batch_id
        self.title = f"Batchyard at {reader.url}"

    def on_mount(self) -> None:
        """Show the first page."""
        batch_id = self._batch_id
        self.push_screen(OverviewPage(self._reader) if batch_id is None else BatchPage(self._reader, batch_id))

    def action_theme(self) -> None:
        """Change between the dark and the light theme."""
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"
