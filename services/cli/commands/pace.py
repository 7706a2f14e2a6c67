"""`batchyard pace`: how fast items go to their destinations, why, and how to change it."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from services.cli.parsing.options import AtOnce, JsonFlag
from services.cli.parsing.options import Pace as RateText

_HISTORY = 20


class Action(StrEnum):
    """What to do; without it the paces are shown."""

    SET = "set"
    CLEAR = "clear"
    CLOSE = "close"


def pace(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[set|clear|close] [WORKLOAD]")] = None,
    partition: Annotated[str | None, typer.Option(help="One host, account or whatever the limit goes by.")] = None,
    limit: Annotated[str | None, typer.Option(help="Another limit of the workload than its partition's.")] = None,
    rate: RateText = None,
    concurrency: AtOnce = None,
    adaptive: Annotated[
        str | None, typer.Option(metavar="FLOOR..CEILING", help="Let the rate follow the destination: 1..200.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Show how rates changed, and why.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show how fast items go to each destination and why; set it, live.

    What is set holds for all batches, at once, and until it is cleared.

    [bold]Examples[/bold]

      batchyard pace                                            every destination in use
      batchyard pace tracklists --history                       with the changes of its rates
      batchyard pace set tracklists --partition a.example --rate 5/s --concurrency 2
      batchyard pace set tracklists --partition a.example --adaptive 1..50
      batchyard pace clear tracklists --partition a.example     the manifest holds again
      batchyard pace close tracklists --partition a.example     try a provider again that refused everything
    """
    from services.cli.client.session import at_yard
    from services.cli.errors import BadInput

    given = list(words or ())
    action = Action(given.pop(0)) if given and given[0] in list(Action) else None
    if len(given) > 1 or (action and not given):
        raise BadInput("Name one workload.", "`batchyard pace --help` shows examples.")
    path = f"/pace/{given[0]}" if given else "/pace"
    query: dict[str, str | int | None] = {"partition": partition, "limit": limit} if given else {}
    if action is None:
        query["history"] = _HISTORY if history else None
        body = at_yard(ctx, lambda door: door.get(path, query))
    elif action is Action.SET:
        document = _document(partition, limit, rate, concurrency, adaptive)
        body = at_yard(ctx, lambda door: door.send("PUT", path, document))
    else:
        method, suffix = ("DELETE", "") if action is Action.CLEAR else ("POST", "/close")
        body = at_yard(ctx, lambda door: door.send(method, path + suffix, query=query))
    _show(body, json=json)


def _document(
    partition: str | None, limit: str | None, rate: str | None, concurrency: int | None, adaptive: str | None
) -> dict[str, Any]:
    from services.cli.errors import BadInput
    from services.cli.parsing.terms import rate_of

    document: dict[str, Any] = {"value": partition, "limit": limit, "concurrency": concurrency}
    if rate is not None:
        document["rate"] = rate_of(rate)
    if adaptive is not None:
        floor, _, ceiling = adaptive.partition("..")
        try:
            document["adaptive"] = {"floor": float(floor), "ceiling": float(ceiling)}
        except ValueError as error:
            raise BadInput(f"{adaptive!r} is not a floor and a ceiling.", "Write 1..200, in items a second.") from error
    return {name: value for name, value in document.items() if value is not None}


def _show(body: bytes, *, json: bool) -> None:
    from batchyard_contracts.v1.queries import PaceReply
    from services.cli.client.session import out, write_json
    from services.cli.rendering.rate_table import pace_table

    if json:
        write_json(body)
    else:
        out().print(pace_table(PaceReply.decode(body)))
