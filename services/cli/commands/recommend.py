"""`batchyard recommend`: who fits a job best."""

from typing import Annotated

import typer

from services.cli.parsing.options import JsonFlag


def recommend(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(metavar="FILE|JSON", help="Jobs and contractors; `-`: standard input.")],
    limit: Annotated[int | None, typer.Option(min=1, max=100, help="Contractors for each job; else 5.")] = None,
    json: JsonFlag = False,
) -> None:
    """Recommend contractors for jobs: by travel time, rating, availability, cost.

    Who lacks a skill, is not free or is too far is left out, and it says why.
    Times with ~ are estimates from the geodesic, not from a road network.

    [bold]Example[/bold]

      batchyard recommend examples/recommend.json
    """
    from services.cli.actions.recommend import recommend_contractors

    recommend_contractors(ctx, question, limit, json=json)
