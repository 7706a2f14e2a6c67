"""`batchyard workers`, `workloads`, `forget` and `version`: what a yard has."""

from typing import Annotated

import typer

from services.cli.parsing.options import JsonFlag


def workers(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the workers that live and what they hold."""
    from batchyard_contracts.v1.queries import WorkersReply
    from services.cli.client.session import at_yard, out, write_json
    from services.cli.rendering.tables import workers_table

    body = at_yard(ctx, lambda door: door.get("/workers"))
    if json:
        write_json(body)
    else:
        out().print(workers_table(WorkersReply.decode(body).workers))


def workloads(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One workload: the fields of its items and an example.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the workloads that workers have announced, or show one."""
    import orjson

    from services.cli.client.session import at_yard, out, write_json
    from services.cli.rendering.tables import workload_block, workloads_table

    body = at_yard(ctx, lambda door: door.get(f"/workloads/{name}" if name else "/workloads"))
    if json:
        write_json(body)
        return
    document = orjson.loads(body)
    if name is None:
        out().print(workloads_table(document["workloads"]))
        return
    out().print(workload_block(document))
    if document.get("example"):
        item = orjson.dumps(document["example"]).decode()
        out().print(f"\nbatchyard submit {name} --item '{item}'", soft_wrap=True, markup=False)


def forget(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="The workload whose results are to be made anew.")],
    item: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only the result of this item; all of the workload without it.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Forget known results, so that they answer no item any more. Outcomes of batches stay.

    A workload may keep its results for a while and answer the same item of a
    later batch with them. To have one batch made anew, submit it with --cache refresh.
    """
    import orjson

    from services.cli.client.session import at_yard, out, write_json
    from services.cli.errors import BadInput

    try:
        payload = orjson.loads(item) if item is not None else None
    except orjson.JSONDecodeError as error:
        raise BadInput(f"--item is not JSON: {error}", "Write it like '{\"n\": 7}'.") from error
    document = {} if item is None else {"payload": payload}
    body = at_yard(ctx, lambda door: door.send("POST", f"/workloads/{workload}/forget", document))
    if json:
        write_json(body)
    else:
        out().print(f"{workload}: forgetting {'all known results' if item is None else 'one result'}")


def version(json: JsonFlag = False) -> None:
    """Print the version."""
    import platform

    from batchyard_contracts import __version__

    if json:
        from services.cli.client.session import write_json

        write_json({"batchyard": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"batchyard {__version__}")
