"""Options and arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.completion import batch_ids, workload_names


class PriorityName(StrEnum):
    """The priorities of the contract, written again because `--help` must not wait for the contract's import."""

    IMMEDIATE = "immediate"
    NORMAL = "normal"
    LOW = "low"


class CachePolicy(StrEnum):
    """Cache modes."""

    USE = "use"
    REFRESH = "refresh"
    OFF = "off"


class DedupMode(StrEnum):
    """Deduplication modes."""

    ATTACH = "attach"
    REJECT = "reject"
    REPLACE = "replace"


class StatusName(StrEnum):
    """Terminal states of an item."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"


class OrderName(StrEnum):
    """Orders of results."""

    ORDINAL = "ordinal"
    COMPLETION = "completion"


class RetryableStatus(StrEnum):
    """Terminal states that a retry may run again."""

    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class StateName(StrEnum):
    """States of a batch as they are shown: of a finished one, how it ended."""

    OPEN = "open"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]
NameAfter = Annotated[str | None, typer.Option("--after", metavar="NAME", help="Only names after this one.")]
PageLimit = Annotated[int, typer.Option("--limit", min=1, max=200, help="Largest number of lines.")]
Parameter = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter, its value as JSON or text."),
]
ParametersFile = Annotated[
    Path | None,
    typer.Option("--parameters", metavar="FILE", help="All parameters as a JSON object.", allow_dash=True),
]
BatchId = Annotated[
    str,
    typer.Argument(
        metavar="BATCH",
        help="Id of a batch, or `last`: the one that you submitted last.",
        autocompletion=batch_ids,
    ),
]
Workload = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD", help="Name of a workload; see `batchyard workloads`.", autocompletion=workload_names
    ),
]

Weight = Annotated[int | None, typer.Option(min=1, max=100, help="Share of the batch among your batches; default 1.")]
RateLimit = Annotated[str | None, typer.Option("--rate", metavar="N/s", help="Largest rate of items: 20/s, 600/min.")]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, help="Largest number of items that run at once."),
]
Deadline = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Time at which remaining items expire: 2h, or 2026-12-24T18:00."),
]
NotBefore = Annotated[
    str | None,
    typer.Option("--not-before", metavar="TIME", help="Time before which no item runs: 2h, or 2026-12-24T18:00."),
]
FailureThreshold = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BOUND",
        help="Stop the batch when more items fail than 100, 10% or captcha=5; may be repeated.",
    ),
]

RetryRules = Annotated[
    list[str] | None,
    typer.Option(
        "--retry",
        metavar="CODE=N[,FIRST,MOST]",
        help="Total attempts for an error code, or for `default`, and the first and the longest pause: "
        "http_503=6,2s,5min. May be repeated.",
    ),
]


class TermName(StrEnum):
    """Terms that can be removed."""

    WEIGHT = "weight"
    RATE = "rate"
    CONCURRENCY = "concurrency"
    NOT_BEFORE = "not_before"
    DEADLINE = "deadline"
    FAILURE_THRESHOLD = "failure_threshold"
    RETRY = "retry"
