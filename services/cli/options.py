"""Options and arguments that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class PriorityName(StrEnum):
    """The priorities of the contract, written again because `--help` must not wait for the contract's import."""

    IMMEDIATE = "immediate"
    NORMAL = "normal"
    LOW = "low"


class StatusName(StrEnum):
    """How an item ends."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"


class BatchStatusName(StrEnum):
    """Where a batch is in its life."""

    OPEN = "open"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"


JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document a line on standard output, nothing else.")]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of a batch, or `last`: the newest one.")]
