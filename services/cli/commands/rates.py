"""`batchyard rates`: the rates of destinations, their reasons, and overrides by operators."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.cli.commands.options import Concurrency, JsonFlag, RateLimit

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

    Examples

      batchyard rates                                            every destination in use
      batchyard rates http --history                             with the changes of its rates
      batchyard rates set http --partition a.example --rate 5/s --concurrency 2
      batchyard rates set http --partition a.example --adaptive 1..50
      batchyard rates clear http --partition a.example           use the manifest again
      batchyard rates close http --partition a.example           close an open circuit
    """
    from services.cli.actions.session import connect

    arguments = list(words or ())
    action = Action(arguments.pop(0)) if arguments and arguments[0] in list(Action) else None
    workload = arguments[0] if arguments else None
    _check(action, arguments, _named(partition, limit), _overrides(rate, concurrency, adaptive), history=history)
    path = f"/rates/{quote(workload, safe='')}" if workload else "/rates"
    query: dict[str, str | int | list[str] | None] = {"partition": partition, "limit": limit} if workload else {}
    api = connect(ctx, as_operator=action is not None)
    if action is None:
        body = api.get(path, {**query, "history": _HISTORY if history else None})
    elif action is Action.SET:
        body = api.send("PUT", path, _document(partition, limit, rate, concurrency, adaptive))
    else:
        method, suffix = ("DELETE", "") if action is Action.CLEAR else ("POST", "/close")
        body = api.send(method, path + suffix, query=query)
    _show(body, json=json)


def _check(
    action: Action | None, workloads: list[str], named: list[str], overrides: list[str], *, history: bool
) -> None:
    """Refuse options that the action would ignore, and name the command that is meant."""
    from services.cli.errors import BadInput

    if len(workloads) > 1 or (action and not workloads):
        raise BadInput("Name one workload.", "`batchyard rates --help` shows examples.")
    workload = workloads[0] if workloads else "WORKLOAD"
    if action is not Action.SET and overrides:
        meant = f"batchyard rates set {' '.join([workload, *named, *overrides])}"
        what = f"`rates {action}` removes" if action else "Without `set`, `rates` only shows"
        raise BadInput(f"{what}; {overrides[0].split()[0]} belongs to an override.", f"Use `{meant}`.")
    if action is Action.SET and not overrides:
        raise BadInput("No rate is given.", "Give --rate, --adaptive or --concurrency.")
    if action and history:
        raise BadInput("--history belongs to the display.", f"Use `batchyard rates {workload} --history`.")
    if named and not workloads:
        raise BadInput(f"{named[0].split()[0]} is one of a workload.", "Use `batchyard rates WORKLOAD …`.")
    if action is Action.CLOSE and not any(option.startswith("--partition") for option in named):
        raise BadInput("A circuit is that of one partition.", "Name it with --partition.")


def _named(partition: str | None, limit: str | None) -> list[str]:
    return _written({"--partition": partition, "--limit": limit})


def _overrides(rate: str | None, concurrency: int | None, adaptive: str | None) -> list[str]:
    return _written({"--rate": rate, "--concurrency": concurrency, "--adaptive": adaptive})


def _written(options: dict[str, Any]) -> list[str]:
    return [f"{name} {value}" for name, value in options.items() if value is not None]


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
    from services.cli.rendering.output import show, write_json
    from services.cli.rendering.rate_table import rates_table

    if json:
        write_json(body)
    else:
        show(*rates_table(RatesReply.decode(body)))
