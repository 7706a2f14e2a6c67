"""Submits a batch in one request: a command for a short list, an upload for a file of any length.

Either way it is taken whole or not at all, and a key makes it safe to send it again.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import IO, Any
from uuid import uuid4

import orjson

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.cli.door import Door
from services.cli.errors import BadInput, NotReachable, Refused
from services.cli.items import MEDIA_TYPES, Format

_MAX_COMMAND_BYTES = MAX_MESSAGE_BYTES * 3 // 4
_PIECE = 256 * 1024


class Submission:
    """One batch to be handed in, under the fields of `batch.submit.v1` beside its items."""

    def __init__(self, door: Door, options: Mapping[str, Any], idempotency_key: str | None) -> None:
        self._door = door
        self._options = options
        self._key = idempotency_key or str(uuid4())

    async def items(self, items: Sequence[Mapping[str, Any]]) -> CommandAccepted:
        """Hand in a list of items. What is too long for a command goes as an upload."""
        if not items:
            raise BadInput("There are no items.", "Give a file, or - to read from standard input, or --item.")
        command = orjson.dumps({**self._options, "items": items})
        if len(items) > MAX_ITEMS_PER_COMMAND or len(command) > _MAX_COMMAND_BYTES:
            return await self._post(_pieces(_lines(items)), MEDIA_TYPES[Format.NDJSON], self._query(), "Item")
        return await self._post(command, MEDIA_TYPES[Format.JSON], [], "Item")

    async def file(self, source: IO[bytes], kind: Format) -> CommandAccepted:
        """Hand in NDJSON or CSV as it is, reading while it is sent."""
        pieces = _pieces(iter(lambda: source.read(_PIECE), b""))
        return await self._post(pieces, MEDIA_TYPES[kind], self._query(), "Line")

    async def _post(
        self, body: bytes | AsyncIterator[bytes], media_type: str, query: list[tuple[str, str]], noun: str
    ) -> CommandAccepted:
        headers = {"Content-Type": media_type, "Idempotency-Key": self._key}
        try:
            return CommandAccepted.decode(await self._door.post("/batches", body, headers, query))
        except Refused as error:
            if error.line is None or f"{noun.lower()} {error.line}" in error.what.lower():
                raise
            raise Refused(
                f"{noun} {error.line}: {error.what}", "Correct it, then submit again: nothing runs."
            ) from error
        except NotReachable as error:
            again = f"{error.next_step} With --idempotency-key {self._key} it is taken once only."
            raise NotReachable(error.what, again) from error

    def _query(self) -> list[tuple[str, str]]:
        """The same fields for an upload, whose body is nothing but items."""
        named = [(name, str(self._options[name])) for name in ("workload", "priority", "name") if name in self._options]
        labels = [("label", f"{key}={value}") for key, value in self._options.get("labels", {}).items()]
        notify = self._options.get("notify", {})
        webhooks = [("notify_webhook", url) for url in notify.get("webhooks", [])]
        emails = [("notify_email", address) for address in notify.get("emails", [])]
        return named + labels + webhooks + emails


def _lines(items: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for item in items:
        yield orjson.dumps(item if "custom_id" in item else item["payload"]) + b"\n"


async def _pieces(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    gathered = bytearray()
    for part in parts:
        gathered += part
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
