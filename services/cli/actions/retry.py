"""The work of `batchyard retry`: says what to run again, tries it, asks for another round, and stays until it is open,
so that `watch` can follow."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from batchyard_contracts.v1.queries import BatchState
from services.cli.client.http_client import HttpClient
from services.cli.client.session import out, resolve, use_api, write_json
from services.cli.errors import BadInput

OPEN_WITHIN_S = 10.0
_POLL_S = 0.1
_WIDE = 600
"""Characters of a payload that are shown."""
_CUSTOM = "custom:"
_CAUSE = re.compile(r"\d{1,4}-[0-9a-f]{16}")
_SHOWN = 10
"""Items that would not run, of those that the answer names."""


@dataclass(frozen=True, slots=True)
class RetrySelection:
    """Items to retry, as the options select them. A number is an ordinal, any other text a custom id."""

    causes: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    patch: str | None = None
    skip_invalid: bool = False
    dry_run: bool = False

    def document(self) -> dict[str, Any] | None:
        """The body of the request; None when all that did not succeed is to run again."""
        for cause in self.causes:
            if not _CAUSE.fullmatch(cause):
                raise BadInput(f"{cause!r} is not a cause.", "Copy one from `batchyard failures`, or use --code.")
        select = {
            "causes": self.causes,
            "codes": self.codes,
            "partitions": self.partitions,
            "statuses": self.statuses,
            "ordinals": [int(item) for item in self.items if _is_ordinal(item)],
            "custom_ids": [item.removeprefix(_CUSTOM) for item in self.items if not _is_ordinal(item)],
        }
        document: dict[str, Any] = {"select": {name: values for name, values in select.items() if values} or None}
        document |= {"patch": _patch(self.patch) or None, "skip_invalid": self.skip_invalid, "dry_run": self.dry_run}
        return {name: value for name, value in document.items() if value} or None


def retry_batch(ctx: typer.Context, batch: str, selection: RetrySelection, *, json: bool) -> None:
    """Retry the selected items, or print the items that would run (`--dry-run`)."""
    document = selection.document()

    async def use(client: HttpClient) -> None:
        batch_id = await resolve(client, batch)
        if selection.dry_run:
            body = await client.send_long_running("POST", f"/batches/{batch_id}/retry", document)
            write_json(body) if json else _show(out(), orjson.loads(body))
            return
        before = await _state(client, batch_id)
        body = await client.send_long_running("POST", f"/batches/{batch_id}/retry", document)
        again = orjson.loads(body).get("retried")
        if again:
            await _until_open(client, batch_id, before.round)
        if json:
            write_json(body)
        else:
            out().print(f"{batch_id}: " + (f"running {_items(again)} again" if again else "nothing to run again"))

    use_api(ctx, use)


def _is_ordinal(item: str) -> bool:
    return item.isascii() and item.isdigit()


def _show(console: Console, preview: dict[str, Any]) -> None:
    console.print(f"{_items(preview['items'])} would run again, nothing was changed")
    for sample in preview["samples"]:
        name = f" ({sample['custom_id']})" if sample.get("custom_id") else ""
        console.print(Text(f"  item {sample['ordinal']}{name}"))
        same = sample["before"] == sample["after"]
        lines = [("  = ", "", "after")] if same else [("  - ", "red", "before"), ("  + ", "green", "after")]
        for mark, style, which in lines:
            console.print(Text(mark + _brief(sample[which]), style))
    if preview["invalid"]:
        console.print(f"{_items(preview['invalid'])} would not run (leave them out with --skip-invalid):")
        for item in preview["invalid_items"][:_SHOWN]:
            console.print(Text(f"  item {item['ordinal']}: {item['code']}: {item['reason']}"))


def _items(count: int) -> str:
    return f"{count} item{'' if count == 1 else 's'}"


def _brief(payload: Any) -> str:
    text = orjson.dumps(payload).decode()
    return text if len(text) <= _WIDE else text[:_WIDE] + "…"


def _patch(given: str | None) -> list[dict[str, Any]]:
    """A JSON Patch from the command line, or from the file that is named there."""
    if given is None:
        return []
    text = given
    if not given.lstrip().startswith(("[", "{")):
        try:
            text = Path(given).read_text()
        except OSError as error:
            what = f"--patch: {given} cannot be read: {error.strerror}."
            raise BadInput(what, "Name a file, or write the JSON.") from error
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"--patch is not JSON: {error}.", _EXAMPLE) from error
    operations = document if isinstance(document, list) else [document]
    if not all(isinstance(operation, dict) for operation in operations):
        raise BadInput("--patch is not a list of operations.", _EXAMPLE)
    return operations


_EXAMPLE = 'Write it like this: [{"op": "replace", "path": "/url", "value": "https://…"}]'


async def _until_open(client: HttpClient, batch_id: str, round_: int) -> None:
    """The command is durable already; that the round is not open in time is no error."""
    try:
        async with asyncio.timeout(OPEN_WITHIN_S):
            while True:
                if (await _state(client, batch_id)).round > round_:
                    return
                await asyncio.sleep(_POLL_S)  # HTTP has no way to be told
    except TimeoutError:
        return


async def _state(client: HttpClient, batch_id: str) -> BatchState:
    return BatchState.model_validate_json(await client.get(f"/batches/{batch_id}"))
