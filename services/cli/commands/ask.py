"""`batchyard ask`: a question to a workload, which a worker answers at once."""

from typing import Annotated

import typer

from services.cli.commands.options import JsonFlag, Workload


def ask(
    ctx: typer.Context,
    workload: Workload,
    question: Annotated[str, typer.Argument(help="Name of the question.")],
    request: Annotated[str, typer.Argument(metavar="FILE|JSON", help="A JSON object; `-`: standard input.")],
    json: JsonFlag = False,
) -> None:
    """Ask a workload a question and print the answer. Nothing is stored.

    `batchyard workloads NAME` shows the questions of a workload.

    Example

      batchyard ask count-words longest-word '{"text": "so much to do"}'
    """
    from services.cli.actions.ask import ask_workload

    ask_workload(ctx, workload, question, request, json=json)
