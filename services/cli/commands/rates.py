"""`batchyard rates`: the rates of destinations, their reasons, and overrides by operators."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from services.cli.parsing.options import Concurrency, JsonFlag, RateLimit

_HISTORY = 20


class Action(StrEnum):
    """Action on an override; without one the rates are shown."""

    SET = "set"
    CLEAR = "clear"
    CLOSE = "close"


def rates(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[set|clear|close] [WORKLOAD]")] = None,
    partition: Annotated[
        str | None, typer.Option(help="One partition of the limit, such as a host or an account.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(help="Another limit of the workload than the one by its partition.")
    ] = None,
    rate: RateLimit = None,
    concurrency: Concurrency = None,
    adaptive: Annotated[
        str | None, typer.Option(metavar="FLOOR..CEILING", help="Bounds within which the rate adapts: 1..200.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Show the history of rates, with reasons.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show the rate of each destination and its reason, or override it.

    An override takes effect at once, applies to all batches, and lasts until it is cleared.

    [bold]Examples[/bold]

      batchyard rates                                            every destination in use
      batchyard rates http --history                             with the changes of its rates
      batchyard rates set http --partition a.example --rate 5/s --concurrency 2
      batchyard rates set http --partition a.example --adaptive 1..50
      batchyard rates clear http --partition a.example           use the manifest again
      batchyard rates close http --partition a.example           close an open circuit
    """
    from services.cli.client.session import use_api
    from services.cli.errors import BadInput

    given = list(words or ())
    action = Action(given.pop(0)) if given and given[0] in list(Action) else None
    if len(given) > 1 or (action and not given):
        raise BadInput("Name one workload.", "`batchyard rates --help` shows examples.")
    path = f"/rates/{given[0]}" if given else "/rates"
    query: dict[str, str | int | None] = {"partition": partition, "limit": limit} if given else {}
    if action is None:
        query["history"] = _HISTORY if history else None
        body = use_api(ctx, lambda client: client.get(path, query))
    elif action is Action.SET:
        document = _document(partition, limit, rate, concurrency, adaptive)
        body = use_api(ctx, lambda client: client.send("PUT", path, document))
    else:
        method, suffix = ("DELETE", "") if action is Action.CLEAR else ("POST", "/close")
        body = use_api(ctx, lambda client: client.send(method, path + suffix, query=query))
    _show(body, json=json)


def _document(
    partition: str | None, limit: str | None, rate: str | None, concurrency: int | None, adaptive: str | None
) -> dict[str, Any]:
    from services.cli.errors import BadInput
    from services.cli.parsing.terms import rate_of

    document: dict[str, Any] = {"partition": partition, "limit": limit, "concurrency": concurrency}
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
    from batchyard_contracts.v1.queries import RatesReply
    from services.cli.client.session import out, write_json
    from services.cli.rendering.rate_table import rates_table

    if json:
        write_json(body)
    else:
        out().print(rates_table(RatesReply.decode(body)))
