"""Options and arguments that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class PriorityName(StrEnum):
    """The priorities of the contract, written again because `--help` must not wait for the contract's import."""

    IMMEDIATE = "immediate"
    NORMAL = "normal"
    LOW = "low"


class CachePolicy(StrEnum):
    """What known results are for."""

    USE = "use"
    REFRESH = "refresh"
    OFF = "off"


class DedupMode(StrEnum):
    """Which of two equal items runs."""

    ATTACH = "attach"
    REJECT = "reject"
    REPLACE = "replace"


class StatusName(StrEnum):
    """How an item ends."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"


class EndedBadly(StrEnum):
    """How an item ends that a retry may run again."""

    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class BatchStatusName(StrEnum):
    """Where a batch is in its life."""

    OPEN = "open"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"


JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document a line on standard output, nothing else.")]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of a batch, or `last`: the newest one.")]

Weight = Annotated[int | None, typer.Option(min=1, max=100, help="Its share among your batches; 1 unless set.")]
Pace = Annotated[str | None, typer.Option("--rate", metavar="N/s", help="At most so many items: 20/s, 600/min.")]
AtOnce = Annotated[int | None, typer.Option("--concurrency", min=1, help="So many items run at once at most.")]
Deadline = Annotated[
    str | None, typer.Option(metavar="TIME", help="What has not ended by then expires: 2h, or 2026-12-24T18:00.")
]
FailAfter = Annotated[
    list[str] | None,
    typer.Option(metavar="BOUND", help="Stop when more fail than 100, 10% or captcha=5; may be repeated."),
]

RetryBy = Annotated[
    list[str] | None,
    typer.Option(
        "--retry",
        metavar="CODE=N[,FIRST,MOST]",
        help="Attempts in all for an error code, or for `default`, and the first and the longest pause: "
        "http_503=6,2s,5min. May be repeated.",
    ),
]


class TermName(StrEnum):
    """The terms that can be taken back."""

    WEIGHT = "weight"
    RATE = "rate"
    CONCURRENCY = "concurrency"
    DEADLINE = "deadline"
    FAILURE_THRESHOLD = "failure_threshold"
    RETRY = "retry"
