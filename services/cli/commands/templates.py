"""`batchyard templates save|list|show|versions|diff|restore|submit|delete`: batches with parameters."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.commands.completion import template_names
from services.cli.commands.options import (
    JsonFlag,
    NameAfter,
    NotBefore,
    PageLimit,
    Parameter,
    ParametersFile,
    PriorityName,
)
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup, no_args_is_help=True, rich_markup_mode=None, help="Save, show and submit batches with parameters."
)
Template = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Name of a template.", autocompletion=template_names)]
Version = Annotated[int | None, typer.Option("--version", min=1, help="Version of the template; default: the latest.")]


@app.command(cls=HelpCommand)
def save(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="The template as a JSON object; - reads standard input.", allow_dash=True)
    ],
    json: JsonFlag = False,
) -> None:
    """Create a template, or its next version.

    The file has the fields name, description, parameters (a JSON Schema), body (the
    fields of a batch) and fill (which parameter goes to which place of the body).
    docs/schedules.md has an example.
    """
    from services.cli.actions.session import connect
    from services.cli.parsing.json_file import object_of
    from services.cli.rendering.output import say, write_json

    document = object_of(file)
    body = connect(ctx, as_operator=bool(document.get("shared"))).send("POST", "/templates", document)
    if json:
        write_json(body)
    else:
        import msgspec

        saved = msgspec.json.decode(body)
        say(f"{saved['name']}: version {saved['version']}")


@app.command(cls=HelpCommand, name="list")
def list_(ctx: typer.Context, after: NameAfter = None, limit: PageLimit = 50, json: JsonFlag = False) -> None:
    """List your templates and shared ones by name, each with its latest version."""
    _list(ctx, "/templates", "templates", {"after": after, "limit": limit}, json=json)


@app.command(cls=HelpCommand)
def show(ctx: typer.Context, template: Template, version: Version = None, json: JsonFlag = False) -> None:
    """Show a template as the file that `save` takes."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, write_json

    body = connect(ctx).get(f"/templates/{_quoted(template)}", {"version": version})
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body)
    kept = {name: found[name] for name in ("name", "description", "parameters", "body", "fill")}
    say(msgspec.json.format(msgspec.json.encode(kept), indent=2).decode())


@app.command(cls=HelpCommand)
def versions(ctx: typer.Context, template: Template, json: JsonFlag = False) -> None:
    """List the versions of a template, the latest first."""
    _list(ctx, f"/templates/{_quoted(template)}/versions", "versions", {}, json=json)


@app.command(cls=HelpCommand)
def diff(
    ctx: typer.Context,
    template: Template,
    before: Annotated[int, typer.Argument(min=1, help="The earlier version.")],
    after: Annotated[int | None, typer.Argument(min=1, help="The later version; default: the latest.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show what differs between two versions of a template."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, write_json
    from services.cli.rendering.template_rows import changed_lines

    query: dict[str, Any] = {"before": before, "after": after}
    body = connect(ctx).get(f"/templates/{_quoted(template)}/difference", query)
    if json:
        write_json(body)
        return
    for line in changed_lines(msgspec.json.decode(body)["changes"]):
        say(line)


@app.command(cls=HelpCommand)
def restore(
    ctx: typer.Context,
    template: Template,
    version: Annotated[int, typer.Argument(min=1, help="The version whose content becomes the latest one.")],
    json: JsonFlag = False,
) -> None:
    """Make the content of an earlier version the latest one."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, write_json

    body = connect(ctx).send("POST", f"/templates/{_quoted(template)}/restore", {"version": version})
    if json:
        write_json(body)
    else:
        say(f"{template}: version {msgspec.json.decode(body)['version']} has the content of version {version}")


@app.command(cls=HelpCommand)
def submit(
    ctx: typer.Context,
    template: Template,
    parameter: Parameter = None,
    parameters: ParametersFile = None,
    version: Version = None,
    name: Annotated[str | None, typer.Option(help="Name of the batch.")] = None,
    priority: Annotated[PriorityName | None, typer.Option(help="Priority of the batch.")] = None,
    not_before: NotBefore = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Key under which the batch is submitted once.")] = None,
    json: JsonFlag = False,
) -> None:
    """Submit a batch by a template, and print its id.

    Examples

      batchyard templates submit weekly-portfolio --parameters projects.json
      batchyard templates submit my-template -p 'urls=["https://…"]' -p team=search
    """
    import os
    from contextlib import suppress
    from datetime import UTC, datetime

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.client.last_batch import remember
    from services.cli.parsing.json_file import parameters_of
    from services.cli.parsing.terms import time_of
    from services.cli.rendering.output import say, write_json

    values = parameters_of(parameters, parameter or [])
    document: dict[str, Any] = {"parameters": values}
    given = {"version": version, "name": name, "priority": priority and priority.value}
    given["idempotency_key"] = idempotency_key
    given["not_before"] = not_before and time_of(not_before, datetime.now(UTC), "a time to start")
    document |= {field: value for field, value in given.items() if value is not None}
    api = connect(ctx)
    body = api.send("POST", f"/templates/{_quoted(template)}/submit", document)
    batch_id = msgspec.json.decode(body)["batch_id"]
    with suppress(OSError):
        remember(os.environ, api.address.url, batch_id)
    if json:
        write_json(body)
    else:
        say(batch_id)


@app.command(cls=HelpCommand)
def delete(ctx: typer.Context, template: Template) -> None:
    """Delete a template with all its versions, unless a schedule uses it."""
    from services.cli.actions.session import connect
    from services.cli.rendering.output import say

    connect(ctx).send("DELETE", f"/templates/{_quoted(template)}")
    say(f"{template}: deleted")


def _list(ctx: typer.Context, path: str, field: str, query: dict[str, Any], *, json: bool) -> None:
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import note_more, show, write_json
    from services.cli.rendering.template_rows import templates_table

    body = connect(ctx).get(path, query)
    if json:
        write_json(body)
        return
    page = msgspec.json.decode(body)
    show(templates_table(page[field]))
    note_more(page, "next_after", "--after")


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
