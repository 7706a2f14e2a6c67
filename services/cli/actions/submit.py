"""Action of `batchyard submit`: reads the items, submits them, and prints the id of the batch."""

import asyncio
import gzip
import io
import os
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import msgspec
import typer

from batchyard_contracts.v1.commands import CommandAccepted
from services.cli.actions.check import show_check
from services.cli.actions.estimate import note_outlook, print_estimate, show_estimate
from services.cli.actions.session import address_of, use_api
from services.cli.actions.watch import watch_batch
from services.cli.client.http_client import HttpClient
from services.cli.client.last_batch import remember
from services.cli.client.upload import Submission
from services.cli.errors import BadInput
from services.cli.parsing.format import Format
from services.cli.parsing.gzip_start import expanded_start, is_gzip
from services.cli.parsing.items import format_of, read_list, read_object, read_options
from services.cli.parsing.label import label_of
from services.cli.parsing.terms import TermOptions
from services.cli.rendering.counted import counted
from services.cli.rendering.output import note, say, write_json
from services.cli.rendering.waiting import waiting_text

_SNIFF = 4096
_MAX_READ_TWICE = 16 * 1024 * 1024
"""Largest file of a batch with a deadline that is sent once before, to tell when the batch would end."""
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Request:
    """Batch to submit, as the command line describes it."""

    workload: str
    file: Path | None
    items: list[str]
    source: Path | None
    estimate: bool
    kind: Format | None
    priority: str
    name: str | None
    labels: list[str]
    idempotency_key: str | None
    webhooks: list[str]
    emails: list[str]
    terms: TermOptions
    follow_ups: list[dict[str, Any]] = field(default_factory=list)
    dry_run: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    remote: str | None = None
    """Address of files that the server reads."""

    def options(self) -> dict[str, Any]:
        """Return the fields of `batch.submit.v1` beside the items, without those that are not set."""
        notify = {"webhooks": self.webhooks, "emails": self.emails}
        fields = {
            "workload": self.workload,
            "priority": self.priority,
            "name": self.name,
            "labels": dict(map(label_of, self.labels)),
            "notify": {key: value for key, value in notify.items() if value},
            **self.terms.fields(datetime.now(UTC)),
            "follow_ups": self.follow_ups,
            "metadata": self.metadata,
        }
        return {key: value for key, value in fields.items() if value}


def is_remote(file: str) -> bool:
    """Tell whether the server reads a file, by its name."""
    return file.startswith(("https://", "http://", "s3://"))


def submit_batch(ctx: typer.Context, request: Request, *, watch: bool, json: bool) -> None:
    """Submit a batch, print its id, and watch it if requested."""
    _check_options(request, watch=watch)
    options, address = request.options(), address_of(ctx)

    async def use(client: HttpClient) -> None:
        if request.dry_run:
            check = Submission(client, options, None, note, lambda body: body, is_check=True)
            show_check(await _submitted(check, request), json=json)
            return
        submission = Submission(client, options, request.idempotency_key, note, CommandAccepted.decode)
        if request.estimate and request.source is None:
            print_estimate(await _estimated(submission, request), json=json)
            return
        if request.terms.deadline is not None and _can_be_read_twice(request):
            await note_outlook(_estimated(submission, request))
        accepted = await _send(submission, request)
        batch_id = str(accepted.batch_id)
        with suppress(OSError):  # without a place for it, `last` is the owner's newest batch
            remember(os.environ, address.url, batch_id)
        if request.estimate:
            await show_estimate(client, batch_id, accepted.workload, json=json)
            return
        if json:
            write_json({"type": accepted.type, **msgspec.json.decode(accepted.encode())})
        else:
            effect = (
                "accepted before, nothing was done twice"
                if accepted.replayed
                else "accepted; its files are read from now on"
                if request.remote is not None
                else f"accepted {counted(accepted.items, 'item')}"
                if request.source is None
                else "accepted; its source is asked for items"
            )
            note(f"{accepted.workload}: {effect}")
            say(batch_id)
            if accepted.waiting and not watch:
                note(f"Note: {waiting_text(accepted.waiting.detail, accepted.waiting.until)}")
        if watch:
            await watch_batch(client, batch_id, accepted.workload, json=json)

    use_api(ctx, use)


def _check_options(request: Request, *, watch: bool) -> None:
    """Refuse options that contradict each other; raises `BadInput`."""
    if sum(bool(origin) for origin in (request.file, request.items, request.source, request.remote)) != 1:
        raise BadInput("Name one file, or give --item, or --source: one of them.", "See `batchyard submit --help`.")
    if request.remote is not None and request.kind is Format.JSON:
        raise BadInput("The server reads no JSON lists.", "Write the items as NDJSON or CSV.")
    if request.remote is not None and request.estimate:
        raise BadInput("--estimate needs the items, which the server reads later.", "Leave it out.")
    if request.kind is not None and request.file is None and request.remote is None:
        raise BadInput("--format says nothing without a file.", "An --item and a --source are JSON.")
    if request.estimate and watch:
        raise BadInput("--watch says nothing beside --estimate.", "An estimate is waited for in any case.")
    if request.dry_run and (watch or request.estimate):
        raise BadInput(
            "--dry-run runs nothing: --watch and --estimate say nothing beside it.", "Leave one of them out."
        )


async def _send(submission: Submission[CommandAccepted], request: Request) -> CommandAccepted:
    try:
        return await _submitted(submission, request)
    except asyncio.CancelledError:  # Ctrl-C
        note(f"Interrupted. To go on where it stopped, submit the same with --idempotency-key {submission.key}")
        raise


async def _submitted(submission: Submission[AnswerT], request: Request) -> AnswerT:
    if request.source is not None:
        with ExitStack() as files:
            return await submission.source(read_object(_open(request.source, files)), estimate=request.estimate)
    if request.remote is not None:
        return await submission.remote(request.remote, request.kind)
    if request.file is None:
        return await submission.items(read_options(request.items))
    with ExitStack() as files:
        source, kind, compressed = _recognised(request.file, request.kind, files)
        if kind is Format.JSON:
            return await submission.items(read_list(_expanded(source, files) if compressed else source))
        return await submission.file(source, kind, compressed=compressed)


async def _estimated(submission: Submission[CommandAccepted], request: Request) -> bytes:
    """Return the server's answer on the end that the batch would have."""
    if request.file is None:
        return await submission.estimate_items(read_options(request.items))
    with ExitStack() as files:
        source, kind, compressed = _recognised(request.file, request.kind, files)
        if kind is Format.JSON:
            return await submission.estimate_items(read_list(_expanded(source, files) if compressed else source))
        return await submission.estimate_file(source, kind, compressed=compressed)


def _can_be_read_twice(request: Request) -> bool:
    """Tell whether the items may be sent once before the submission, to tell when it would end."""
    if request.source is not None or request.remote is not None:
        return False
    file = request.file
    return file is None or (file.is_file() and file.stat().st_size <= _MAX_READ_TWICE)


def _recognised(file: Path, kind: Format | None, files: ExitStack) -> tuple[io.BufferedReader, Format, bool]:
    """Open a file; return it with its format, and whether it is compressed."""
    source = _open(file, files)
    start = source.peek(_SNIFF)
    compressed = is_gzip(start)
    name = file.name.removesuffix(".gz") if compressed else file.name
    return source, kind or format_of(name, expanded_start(start) if compressed else start), compressed


def _expanded(source: IO[bytes], files: ExitStack) -> IO[bytes]:
    """Return the text of a compressed list, which is read here, because the server takes items a line each."""
    return cast("IO[bytes]", files.enter_context(gzip.GzipFile(fileobj=source)))


def _open(file: Path, files: ExitStack) -> io.BufferedReader:
    if str(file) == "-":
        return files.enter_context(open(sys.stdin.fileno(), "rb", closefd=False))
    try:
        return files.enter_context(file.open("rb"))
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.", "Check its name.") from error
