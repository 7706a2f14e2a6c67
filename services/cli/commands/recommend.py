"""`batchyard recommend`: the contractors that fit a job best."""

from typing import Annotated

import typer

from services.cli.parsing.options import JsonFlag


def recommend(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="FILE|JSON", help="Jobs and contractors; `-`: standard input.")],
    limit: Annotated[
        int | None, typer.Option(min=1, max=100, help="Largest number of contractors for each job; default 5.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Recommend contractors for jobs: by travel time, rating, availability, cost.

    Contractors who lack a skill, are not available or are too far are excluded, with
    the reason. Times with ~ are geodesic estimates, not from a road network.

    [bold]Example[/bold]

      batchyard recommend examples/recommend.json
    """
    from services.cli.actions.recommend import recommend_contractors

    recommend_contractors(ctx, query, limit, json=json)
