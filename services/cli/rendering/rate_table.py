"""Table of the rates of destinations."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from batchyard_contracts.v1.queries import RatesReply, RateState
from services.cli.rendering.rate_text import rate_text
from services.cli.rendering.tables import table_of

_COLUMNS = ("workload", "destination", "rate", "reason", "in flight", "waiting", "chunk size")


def rates_table(reply: RatesReply) -> list[RenderableType]:
    """Return a table with a row for each destination and the reason of its rate, and the history if requested."""
    if not reply.rates:
        return [
            Text("No item went out lately. A destination is listed while items wait for it or something was learned.")
        ]
    parts: list[RenderableType] = []
    table = _table()
    for state in reply.rates:
        name = state.partition or "all" if state.limit == "partition" else f"{state.limit} {state.partition or 'all'}"
        most = f" of {state.concurrency}" if state.concurrency else ""
        chunk = f"{state.chunk_size} ({state.chunk_size_reason})" if state.chunk_size else ""
        cells = (
            state.workload,
            name,
            rate_text(state.per_second),
            state.reason,
            f"{state.in_flight}{most}",
            str(state.waiting),
        )
        table.add_row(*map(Text, cells), Text(chunk))
        for note in _notes(state):
            table.add_row("", Text(f"  {note}", "yellow"))
        if state.history:
            parts += [table, _history(state)]
            table = _table()
    if table.row_count:
        parts.append(table)
    if reply.truncated:
        parts.append(Text("There are more. Name a workload, or a --partition."))
    return parts


def _notes(state: RateState) -> list[str]:
    notes = []
    if state.circuit != "closed":
        what = f"{state.error.code}: {state.error.message}" if state.error else ""
        when = (
            f"one item tries it at {state.next_probe_at.astimezone():%H:%M:%S}"
            if state.next_probe_at
            else "one item tries it"
        )
        notes.append(f"refuses everything ({what}); {when}")
    if state.backoff_until is not None:
        notes.append(f"waits until {state.backoff_until.astimezone():%H:%M:%S}: {state.backoff_reason}")
    return notes


def _history(state: RateState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 2), show_header=False)
    for change in state.history:
        steps = f"{rate_text(change.before)} to {rate_text(change.after)}"
        if change.circuit is not None:
            steps = f"circuit {change.circuit.replace('_', ' ')}"
        table.add_row(Text(f"{change.at.astimezone():%m-%d %H:%M:%S}", "bright_black"), steps, Text(change.reason))
    return table


def _table() -> Table:
    return table_of(*_COLUMNS)
