"""`batchyard schedules save|list|show|times|runs|pause|resume|run|backfill|delete`: batches at recurring times."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.commands.completion import schedule_names, template_names
from services.cli.commands.options import JsonFlag, NameAfter, PageLimit, Parameter, ParametersFile
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Start batches at recurring times, and follow them.",
)
Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Name of a schedule.", autocompletion=schedule_names)]


class OverlapRule(StrEnum):
    """Rules for a run whose predecessor has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"
    ALLOW = "allow"


class MissedRule(StrEnum):
    """Rules for times that passed while nothing could start."""

    NONE = "none"
    ONE = "one"
    ALL = "all"


Cron = Annotated[
    str, typer.Option("--cron", metavar="EXPRESSION", help="Minute, hour, day, month, weekday: '0 6 * * MON'.")
]
Zone = Annotated[str, typer.Option("--zone", help="Time zone of the expression: Europe/Berlin.")]


@app.command(cls=HelpCommand)
def save(
    ctx: typer.Context,
    schedule: Schedule,
    cron: Cron,
    zone: Zone = "UTC",
    template: Annotated[str | None, typer.Option(help="Template to submit.", autocompletion=template_names)] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Its version; default: the latest at each run.")] = None,
    parameter: Parameter = None,
    parameters: ParametersFile = None,
    batch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Batch to submit in place of a template, as a JSON object.", allow_dash=True),
    ] = None,
    overlap: Annotated[
        OverlapRule,
        typer.Option(
            help="If the batch before has not ended: skip the run, queue it, cancel that batch, or allow both."
        ),
    ] = OverlapRule.SKIP,
    missed: Annotated[
        MissedRule, typer.Option(help="Times that passed while nothing could start: make up for none, one or all.")
    ] = MissedRule.ONE,
    catch_up: Annotated[str, typer.Option(metavar="SPAN", help="Age up to which they are made up for.")] = "1h",
    jitter: Annotated[str | None, typer.Option(metavar="SPAN", help="Longest time by which a run starts late.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="First possible time.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Last possible time.")] = None,
    json: JsonFlag = False,
) -> None:
    """Create a schedule, or replace it, and print its next time.

    Examples

      batchyard schedules save weekly --cron '0 6 * * MON' --zone Europe/Berlin \\
        --template weekly-portfolio --parameters projects.json --overlap queue
      batchyard schedules save tick --cron '*/5 * * * *' --batch batch.json
    """
    from datetime import UTC, datetime
    from urllib.parse import quote

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.parsing.json_file import object_of, parameters_of
    from services.cli.parsing.terms import seconds_of, time_of
    from services.cli.rendering.output import say, write_json
    from services.cli.rendering.schedule_rows import schedule_lines

    now = datetime.now(UTC)
    values = parameters_of(parameters, parameter or [])
    document: dict[str, Any] = {"cron": cron, "zone": zone, "overlap": overlap.value, "missed": missed.value}
    given: dict[str, Any] = {
        "template": template,
        "template_version": version,
        "parameters": values or None,
        "batch": object_of(batch) if batch else None,
        "catch_up_s": round(seconds_of(catch_up)),
        "jitter_s": jitter and round(seconds_of(jitter)),
        "starts_at": start and time_of(start, now, "a time"),
        "ends_at": end and time_of(end, now, "a time"),
    }
    document |= {field: value for field, value in given.items() if value is not None}
    body = connect(ctx).send("PUT", f"/schedules/{quote(schedule, safe='')}", document)
    if json:
        write_json(body)
        return
    for name, words in schedule_lines(msgspec.json.decode(body)):
        say(f"{name + ':':13}{words}")


@app.command(cls=HelpCommand, name="list")
def list_(ctx: typer.Context, after: NameAfter = None, limit: PageLimit = 50, json: JsonFlag = False) -> None:
    """List your schedules with their next times, by name."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import note_more, write_json
    from services.cli.rendering.output import show as show_table
    from services.cli.rendering.schedule_rows import schedules_table

    body = connect(ctx).get("/schedules", {"after": after, "limit": limit})
    if json:
        write_json(body)
        return
    page = msgspec.json.decode(body)
    show_table(schedules_table(page["schedules"]))
    note_more(page, "next_after", "--after")


@app.command(cls=HelpCommand)
def show(ctx: typer.Context, schedule: Schedule, json: JsonFlag = False) -> None:
    """Show a schedule."""
    _request(ctx, "GET", schedule, "", json=json)


@app.command(cls=HelpCommand)
def times(
    ctx: typer.Context,
    schedule: Schedule,
    count: Annotated[int, typer.Option(min=1, max=50, help="Number of times.")] = 10,
    json: JsonFlag = False,
) -> None:
    """Show the next times of a schedule, with notes where clocks change."""
    _table(ctx, schedule, "times", {"count": count}, json=json)


@app.command(cls=HelpCommand)
def runs(
    ctx: typer.Context,
    schedule: Schedule,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="Only runs of times before this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Number of runs.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show what became of each time of a schedule, the latest first."""
    from datetime import UTC, datetime

    from services.cli.parsing.terms import time_of

    at = before and time_of(before, datetime.now(UTC), "a time")
    _table(ctx, schedule, "runs", {"before": at, "limit": limit}, json=json)


@app.command(cls=HelpCommand)
def pause(
    ctx: typer.Context,
    schedule: Schedule,
    note: Annotated[str, typer.Option(help="Reason, which is shown with the schedule.")] = "",
    json: JsonFlag = False,
) -> None:
    """Let no further time become due."""
    _request(ctx, "POST", schedule, "/pause", {"note": note}, json=json)


@app.command(cls=HelpCommand)
def resume(ctx: typer.Context, schedule: Schedule, json: JsonFlag = False) -> None:
    """Continue with the next time after now."""
    _request(ctx, "POST", schedule, "/resume", json=json)


@app.command(cls=HelpCommand)
def run(ctx: typer.Context, schedule: Schedule, json: JsonFlag = False) -> None:
    """Start a run now, also while the schedule is paused. `schedules runs` shows its batch."""
    import msgspec

    from services.cli.rendering.output import say, write_json

    body = _send(ctx, "POST", schedule, "/run")
    if json:
        write_json(body)
    else:
        say(f"{schedule}: run of {msgspec.json.decode(body)['nominal_at']}")


@app.command(cls=HelpCommand)
def backfill(
    ctx: typer.Context,
    schedule: Schedule,
    start: Annotated[str, typer.Argument(metavar="START", help="First time: 2026-11-01T00:00.")],
    end: Annotated[str, typer.Argument(metavar="END", help="Last time.")],
    overlap: Annotated[
        OverlapRule, typer.Option(help="Rule for runs that overlap; default: one after the other.")
    ] = OverlapRule.QUEUE,
    json: JsonFlag = False,
) -> None:
    """Run the times of a span of the past now. A time is backfilled once."""
    from datetime import UTC, datetime

    import msgspec

    from services.cli.parsing.terms import time_of
    from services.cli.rendering.output import say, write_json

    now = datetime.now(UTC)
    document = {"first_at": time_of(start, now, "a time"), "last_at": time_of(end, now, "a time")}
    body = _send(ctx, "POST", schedule, "/backfill", document | {"overlap": overlap.value})
    if json:
        write_json(body)
    else:
        say(f"{schedule}: {msgspec.json.decode(body)['runs']} runs")


@app.command(cls=HelpCommand)
def delete(ctx: typer.Context, schedule: Schedule) -> None:
    """Delete a schedule with its history. Batches that it has started go on."""
    from services.cli.rendering.output import say

    _send(ctx, "DELETE", schedule, "")
    say(f"{schedule}: deleted")


def _send(ctx: typer.Context, method: str, schedule: str, path: str, document: Any = None) -> bytes:
    from urllib.parse import quote

    from services.cli.actions.session import connect

    address = f"/schedules/{quote(schedule, safe='')}{path}"
    return connect(ctx).get(address) if method == "GET" else connect(ctx).send(method, address, document)


def _request(ctx: typer.Context, method: str, schedule: str, path: str, document: Any = None, *, json: bool) -> None:
    """Send a request whose answer is the schedule, and show it."""
    import msgspec

    from services.cli.rendering.output import say, write_json
    from services.cli.rendering.schedule_rows import schedule_lines

    body = _send(ctx, method, schedule, path, document)
    if json:
        write_json(body)
        return
    for name, words in schedule_lines(msgspec.json.decode(body)):
        say(f"{name + ':':13}{words}")


def _table(ctx: typer.Context, schedule: str, what: str, query: dict[str, Any], *, json: bool) -> None:
    from urllib.parse import quote

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering import schedule_rows
    from services.cli.rendering.output import note_more, show, write_json

    body = connect(ctx).get(f"/schedules/{quote(schedule, safe='')}/{what}", query)
    if json:
        write_json(body)
        return
    table = schedule_rows.times_table if what == "times" else schedule_rows.runs_table
    page = msgspec.json.decode(body)
    show(table(page[what]))
    note_more(page, "next_before", "--before")
