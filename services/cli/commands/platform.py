"""`batchyard workers`, `workloads`, `invalidate-cache` and `version`: the state of the platform."""

from typing import Annotated

import typer

from services.cli.parsing.options import JsonFlag


def workers(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the live workers and the chunks that they hold."""
    from batchyard_contracts.v1.queries import WorkersReply
    from services.cli.client.session import out, use_api, write_json
    from services.cli.rendering.tables import workers_table

    body = use_api(ctx, lambda client: client.get("/workers"))
    if json:
        write_json(body)
    else:
        out().print(workers_table(WorkersReply.decode(body).workers))


def workloads(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="One workload: the fields of its items, examples, questions.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the workloads that workers have announced, or show one."""
    import orjson

    from services.cli.client.session import out, use_api, write_json
    from services.cli.rendering.tables import workload_block, workloads_table

    body = use_api(ctx, lambda client: client.get(f"/workloads/{name}" if name else "/workloads"))
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
    for question, described in document["questions"].items():
        request = orjson.dumps(described["example"]).decode()
        out().print(f"\nbatchyard ask {name} {question} '{request}'", soft_wrap=True, markup=False)


def invalidate_cache(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="The workload whose cached results are removed.")],
    item: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only the result of this item; default: all of the workload.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Remove cached results of a workload. Outcomes of batches stay.

    A workload may cache its results and reuse them for equal items of later
    batches. To refresh the results of one batch, submit it with --cache refresh.
    """
    import orjson

    from services.cli.client.session import out, use_api, write_json
    from services.cli.errors import BadInput

    try:
        payload = orjson.loads(item) if item is not None else None
    except orjson.JSONDecodeError as error:
        raise BadInput(f"--item is not JSON: {error}", "Write it like '{\"n\": 7}'.") from error
    document = {} if item is None else {"payload": payload}
    body = use_api(ctx, lambda client: client.send("POST", f"/workloads/{workload}/invalidate-cache", document))
    if json:
        write_json(body)
    else:
        out().print(f"{workload}: invalidating {'all cached results' if item is None else 'one cached result'}")


def version(json: JsonFlag = False) -> None:
    """Print the version."""
    import platform

    from batchyard_contracts import __version__

    if json:
        from services.cli.client.session import write_json

        write_json({"batchyard": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"batchyard {__version__}")
