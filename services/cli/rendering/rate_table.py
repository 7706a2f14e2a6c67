"""How the paces of destinations look to a person."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from batchyard_contracts.v1.queries import PaceReply, PaceState

_COLUMNS = ("workload", "destination", "rate", "because", "out", "waiting", "chunk")


def pace_table(reply: PaceReply) -> RenderableType:
    """One destination a row, and what keeps it back; below it how its rate changed, if that was asked for."""
    if not reply.paces:
        return Text(
            "No item went out lately. A destination is listed while items wait for it or something was learned."
        )
    parts: list[RenderableType] = []
    table = _table()
    for pace in reply.paces:
        name = pace.value or "all" if pace.limit == "partition" else f"{pace.limit} {pace.value or 'all'}"
        most = f" of {pace.concurrency}" if pace.concurrency else ""
        chunk = f"{pace.chunk}: {pace.chunk_because}" if pace.chunk else ""
        cells = (pace.workload, name, rate_text(pace.per_second), pace.cause, f"{pace.out}{most}", str(pace.waiting))
        table.add_row(*map(Text, cells), Text(chunk))
        for note in _notes(pace):
            table.add_row("", Text(f"  {note}", "yellow"))
        if pace.history:
            parts += [table, _history(pace)]
            table = _table()
    if table.row_count:
        parts.append(table)
    if reply.more:
        parts.append(Text("There are more. Name a workload, or a --partition."))
    return Group(*parts)


def rate_text(per_second: float | None) -> str:
    """A rate in the unit that suits it."""
    if per_second is None:
        return "no limit"
    for each, unit in ((1, "s"), (60, "min")):
        if per_second * each >= 1:
            return f"{per_second * each:.3g}/{unit}"
    return f"{per_second * 3600:.3g}/h"


def _notes(pace: PaceState) -> list[str]:
    notes = []
    if pace.circuit != "closed":
        what = f"{pace.error.code}: {pace.error.message}" if pace.error else ""
        when = f"one item tries it at {pace.tries_at.astimezone():%H:%M:%S}" if pace.tries_at else "one item tries it"
        notes.append(f"refuses everything ({what}); {when}")
    if pace.parked_until is not None:
        notes.append(f"waits until {pace.parked_until.astimezone():%H:%M:%S}: {pace.parked_because}")
    return notes


def _history(pace: PaceState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 2), show_header=False)
    for change in pace.history:
        steps = f"{rate_text(change.before)} to {rate_text(change.after)}"
        table.add_row(Text(f"{change.at.astimezone():%m-%d %H:%M:%S}", "bright_black"), steps, Text(change.cause))
    return table


def _table() -> Table:
    return Table(*_COLUMNS, box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bright_black")
