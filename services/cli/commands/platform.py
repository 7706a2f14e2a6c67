"""`batchyard workers`, `workloads`, `invalidate-cache` and `version`: the state of the platform."""

from typing import Annotated

import typer

from services.cli.commands.completion import workload_names
from services.cli.commands.options import JsonFlag


def workers(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the live workers and the chunks that they hold."""
    import msgspec

    from services.cli.actions.session import connect
    from services.cli.client.documents import Workers
    from services.cli.rendering.output import show, write_json
    from services.cli.rendering.tables import workers_table

    body = connect(ctx, as_operator=True).get("/workers")
    if json:
        write_json(body)
    else:
        show(workers_table(msgspec.json.decode(body, type=Workers).workers))


def workloads(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="One workload: the fields of its items, examples, questions.", autocompletion=workload_names
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the workloads that workers have announced, or show one."""
    from urllib.parse import quote

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, show, write_json
    from services.cli.rendering.tables import workload_block, workloads_table

    body = connect(ctx).get(f"/workloads/{quote(name, safe='')}" if name else "/workloads")
    if json:
        write_json(body)
        return
    document = msgspec.json.decode(body)
    if name is None:
        show(workloads_table(document["workloads"]))
        return
    show(*workload_block(document))
    if document.get("example"):
        item = msgspec.json.encode(document["example"]).decode()
        say(f"\nbatchyard submit {name} --item {_quoted(item)}")
    for question, described in document.get("questions", {}).items():
        request = msgspec.json.encode(described["example"]).decode()
        say(f"\nbatchyard ask {name} {question} {_quoted(request)}")


def invalidate_cache(
    ctx: typer.Context,
    workload: Annotated[
        str, typer.Argument(help="The workload whose cached results are removed.", autocompletion=workload_names)
    ],
    item: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only the result of this item; default: all of the workload.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Remove cached results of a workload. Outcomes of batches stay.

    A workload may cache its results and reuse them for equal items of later
    batches. To refresh the results of one batch, submit it with --cache refresh.
    """
    from urllib.parse import quote

    from services.cli.actions.session import connect
    from services.cli.parsing.json_text import read_json
    from services.cli.rendering.output import say, write_json

    advice = "Write it like '{\"n\": 7}'."
    document = {} if item is None else {"payload": read_json(item.encode(), "--item", advice)}
    body = connect(ctx, as_operator=item is None).send(
        "POST", f"/workloads/{quote(workload, safe='')}/invalidate-cache", document
    )
    if json:
        write_json(body)
    else:
        say(f"{workload}: invalidating {'all cached results' if item is None else 'one cached result'}")


def version(json: JsonFlag = False) -> None:
    """Print the version."""
    import platform

    from batchyard_contracts import __version__

    if json:
        from services.cli.rendering.output import write_json

        write_json({"batchyard": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"batchyard {__version__}")


def _quoted(text: str) -> str:
    """Return a text as one word of a shell."""
    from shlex import quote

    return quote(text)
