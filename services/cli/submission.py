"""Submits a batch: in one request when it fits into one, else opened, appended to and sealed."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn
from uuid import uuid4

from batchyard_contracts.v1.commands import CommandAccepted
from services.cli.door import Door
from services.cli.errors import BadInput, CliError, NotReachable, Refused
from services.cli.items import Item


async def submit(
    door: Door, options: Mapping[str, Any], parts: Iterator[list[Item]], idempotency_key: str | None = None
) -> CommandAccepted:
    """Hand in the items under the options of `batch.submit.v1`; give what the server accepted.

    Without a key one is made up, so that what went wrong on the way can be repeated safely. A batch of several
    parts is cancelled when one of them is refused: it never runs half of a file.
    """
    key = idempotency_key or str(uuid4())
    first = next(parts, None)
    if first is None:
        raise BadInput("There are no items.", "Give a file, or - to read from standard input, or --item.")
    second = next(parts, None)
    command = {**options, "items": [item.body for item in first], "sealed": second is None}
    try:
        accepted = CommandAccepted.decode(
            await door.send("POST", "/batches", command, headers={"Idempotency-Key": key})
        )
    except Refused as error:
        _blame(error, first)
    except NotReachable as error:
        raise NotReachable(
            error.what, f"{error.next_step} With --idempotency-key {key} it is accepted once only."
        ) from error
    if second is None:
        return accepted
    try:
        return await _append(door, accepted, len(first), second, parts)
    except CliError:
        with contextlib.suppress(CliError):
            await door.send("POST", f"/batches/{accepted.batch_id}/cancel")
            await door.send("POST", f"/batches/{accepted.batch_id}/seal")
        raise


async def _append(
    door: Door, accepted: CommandAccepted, count: int, part: list[Item] | None, parts: Iterator[list[Item]]
) -> CommandAccepted:
    sequence = 0
    while part is not None:
        document = {"sequence": sequence, "items": [item.body for item in part]}
        try:
            await door.send("POST", f"/batches/{accepted.batch_id}/items", document)
        except Refused as error:
            _blame(error, part)
        count += len(part)
        sequence += 1
        part = next(parts, None)
    await door.send("POST", f"/batches/{accepted.batch_id}/seal")
    return accepted.model_copy(update={"items": count})


def _blame(error: Refused, part: list[Item]) -> NoReturn:
    """Name the line of the file instead of the item's number within the request."""
    if error.line is None or not 1 <= error.line <= len(part):
        raise error
    line = part[error.line - 1].line
    raise Refused(f"Line {line}: {error.what}", "Correct it, then submit again: nothing runs.", line=line) from error
