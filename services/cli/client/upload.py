"""Submits a batch in one request: an upload of items, however many, or a command with a source.

The idempotency key makes it safe to repeat the request. An interrupted upload is sent again from its beginning; the
server skips the items that it has.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Generic, TypeVar
from uuid import uuid4

import msgspec

from batchyard_contracts.ids import new_batch_id
from services.cli.client.http_client import HttpClient
from services.cli.client.wrong_rows import wrong_rows_text
from services.cli.errors import BadInput, CliError, NotReachable, Refused
from services.cli.parsing.format import MEDIA_TYPES, Format

AnswerT = TypeVar("AnswerT")
_PIECE = 256 * 1024
_OPTIONS = (
    "weight",
    "rate",
    "concurrency",
    "not_before",
    "deadline",
    "failure_threshold",
    "retry",
    "cache",
    "dedup",
    "follow_ups",
    "metadata",
)


TRIES = 10
"""Number of attempts of an upload without progress."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Bounds of the pauses between attempts; a pause doubles, unless the server names a longer one."""
LOOK_S = 1.0
"""Seconds between two checks whether the batch has started during its upload."""


class Submission(Generic[AnswerT]):
    """Submission of one batch; `options` are the fields of `batch.submit.v1` beside its items, `say` prints, and `read`
    reads the answer. With `is_check` the server only checks it, and stores nothing."""

    def __init__(
        self,
        client: HttpClient,
        options: Mapping[str, Any],
        idempotency_key: str | None,
        say: Callable[[str], None],
        read: Callable[[bytes], AnswerT],
        *,
        is_check: bool = False,
    ) -> None:
        self._client = client
        self._read, self._is_check = read, is_check
        self._options = options
        self.key = idempotency_key or str(uuid4())
        """Key under which the same submission may be repeated."""
        self._say = say
        self._batch_id = str(new_batch_id())
        self._coding: dict[str, str] = {}
        """Header with the content coding of the body, if it has one."""

    async def items(self, items: Sequence[bytes]) -> AnswerT:
        """Submit items, each as JSON on one line."""
        if not items:
            raise BadInput("There are no items.", "Give a file, or - to read from standard input, or --item.")
        return await self._upload(lambda: (item + b"\n" for item in items), MEDIA_TYPES[Format.NDJSON], "Item")

    async def estimate_items(self, items: Sequence[bytes]) -> bytes:
        """Return the answer on the end that a batch of these items would have. Nothing is submitted."""
        return await self._estimate(_pieces(item + b"\n" for item in items), MEDIA_TYPES[Format.NDJSON], {})

    async def estimate_file(self, source: IO[bytes], kind: Format, *, compressed: bool = False) -> bytes:
        """Return the answer on the end that a batch of a file would have. Nothing is submitted."""
        coding = {"Content-Encoding": "gzip"} if compressed else {}
        return await self._estimate(_pieces(iter(lambda: source.read(_PIECE), b"")), MEDIA_TYPES[kind], coding)

    async def _estimate(self, body: AsyncIterator[bytes], media_type: str, coding: Mapping[str, str]) -> bytes:
        query = [(name, value) for name, value in self._query() if name in {"workload", "priority", "options"}]
        return await self._client.post("/estimates", body, {"Content-Type": media_type, **coding}, query)

    async def source(self, source: bytes, *, estimate: bool) -> AnswerT:
        """Submit a source, from which a worker finds the items, as JSON."""
        command = msgspec.json.encode({**self._options, "source": msgspec.Raw(source), "estimate": estimate})
        return await self._post(command, MEDIA_TYPES[Format.JSON], [], "Source")

    async def remote(self, url: str, kind: Format | None) -> AnswerT:
        """Submit files that the server reads."""
        items_from = {"url": url} if kind is None else {"url": url, "format": kind.value}
        command = msgspec.json.encode({**self._options, "items_from": items_from})
        return await self._post(command, MEDIA_TYPES[Format.JSON], [], "Field")

    async def file(self, source: IO[bytes], kind: Format, *, compressed: bool = False) -> AnswerT:
        """Submit NDJSON or CSV unchanged, read while it is sent; `compressed` with gzip the server expands it. A source
        that cannot be read twice is sent once."""
        start = source.tell() if source.seekable() else None

        def parts() -> Iterator[bytes] | None:
            if start is not None:
                source.seek(start)
            elif used:
                return None
            used.append(True)
            return iter(lambda: source.read(_PIECE), b"")

        used: list[bool] = []
        self._coding = {"Content-Encoding": "gzip"} if compressed else {}
        return await self._upload(parts, MEDIA_TYPES[kind], "Line")

    async def _upload(self, parts: Callable[[], Iterator[bytes] | None], media_type: str, noun: str) -> AnswerT:
        """Send an upload, and repeat it after an interruption, up to `TRIES` times in a row without progress."""
        query = self._query() if self._is_check else [*self._query(), ("batch_id", self._batch_id)]
        source, tries, held = parts(), 0, 0
        announcing = asyncio.create_task(self._announce_batch())
        try:
            while True:
                try:
                    return await self._post(_pieces(source or iter(())), media_type, query, noun)
                except (Refused, NotReachable) as error:
                    if isinstance(error, Refused) and error.batch_id is not None:
                        self._batch_id = error.batch_id
                        tries, held = (0 if error.items > held else tries), max(held, error.items)
                    tries += 1
                    pause = self._pause(error, tries)
                    if pause is None or (source := parts()) is None:
                        raise
                    self._say(f"{error.what}\nThe same is sent again in {pause:g} s; what was taken is skipped.")
                    await asyncio.sleep(pause)
        finally:
            announcing.cancel()

    def _pause(self, error: CliError, tries: int) -> float | None:
        """Return the pause before the same request is sent again, in seconds; None if it cannot succeed."""
        away = isinstance(error, NotReachable) and tries > 1  # Batchyard was available and is being restarted
        if tries >= TRIES or (error.retry_after_s is None and not away):
            return None
        return max(error.retry_after_s or 0.0, min(FIRST_PAUSE_S * 2.0 ** (tries - 1), LONGEST_PAUSE_S))

    async def _announce_batch(self) -> None:
        """Print the id of the batch as soon as it exists, which for a long upload is long before its end."""
        while not self._is_check:
            await asyncio.sleep(LOOK_S)
            with suppress(CliError):
                await self._client.get(f"/batches/{self._batch_id}")
                self._say(f"Its first items run while the rest is sent: batchyard watch {self._batch_id}")
                return

    async def _post(
        self, body: bytes | AsyncIterator[bytes], media_type: str, query: list[tuple[str, str]], noun: str
    ) -> AnswerT:
        headers = {"Content-Type": media_type, **self._coding}
        if self._is_check:
            return self._read(await self._client.post("/batch-check", body, headers, query))
        headers["Idempotency-Key"] = self.key
        try:
            return self._read(await self._client.post("/batches", body, headers, query))
        except Refused as error:
            if error.wrong_rows or (
                error.line is not None and f"{noun.lower()} {error.line}" not in error.what.lower()
            ):
                _explain_rows(error, noun, self.key)
            raise
        except NotReachable as error:
            error.next_step += f" With --idempotency-key {self.key} it goes on where it stopped, and is taken once."
            raise

    def _query(self) -> list[tuple[str, str]]:
        """Return the batch fields as parameters of an upload, whose body contains only items."""
        named = [(name, str(self._options[name])) for name in ("workload", "priority", "name") if name in self._options]
        labels = [("label", f"{key}={value}") for key, value in self._options.get("labels", {}).items()]
        notify = self._options.get("notify", {})
        webhooks = [("notify_webhook", url) for url in notify.get("webhooks", [])]
        emails = [("notify_email", address) for address in notify.get("emails", [])]
        terms = {name: self._options[name] for name in _OPTIONS if name in self._options}
        options = [("options", msgspec.json.encode(terms).decode())] if terms else []
        return named + labels + webhooks + emails + options


def _explain_rows(error: Refused, noun: str, key: str) -> None:
    """Let an error about wrong rows name each of them, and what to do."""
    several = len(error.wrong_rows) > 1
    if several:
        error.what = wrong_rows_text(error.wrong_rows, error.wrong_count, noun.lower())
    elif error.line is not None:
        error.what = f"{noun} {error.line}: {error.what}"
    them = "them" if several else "it"
    if error.batch_id is None:
        error.next_step = f"Correct {them}, then submit again: nothing was stored, and nothing runs."
    else:
        held = f"The batch {error.batch_id} has the first {error.items:,} items."
        error.next_step = (
            f"{held} Correct {them}, then submit again with --idempotency-key {key}: what was taken is skipped."
        )


async def _pieces(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    gathered = bytearray()
    for part in parts:
        gathered += part
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
