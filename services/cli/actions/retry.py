"""Action of `batchyard retry`: requests another round, and waits until it is open, so that it can be watched."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.text import Text

from services.cli.actions.polling import advice_on_interruption, poll
from services.cli.actions.session import connect, resolve
from services.cli.client.api import LONG_ANSWER_S, Api
from services.cli.client.documents import Batch
from services.cli.errors import BadInput
from services.cli.parsing.item_names import split_names
from services.cli.parsing.json_text import as_utf8, read_json
from services.cli.rendering.counted import counted
from services.cli.rendering.output import say, show, write_json

OPEN_WITHIN_S = 10.0
_POLL_S = 0.1
_WIDE = 600
"""Largest number of characters of a payload that are printed."""
_CAUSE = re.compile(r"\d{1,4}-[0-9a-f]{16}")
_SHOWN = 10
"""Number of items that would not run and are printed."""


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
        """Return the body of the request; None to run all items again that did not succeed."""
        if self.skip_invalid and self.patch is None:
            raise BadInput("--skip-invalid says nothing without --patch.", "Without a patch every payload stays valid.")
        for cause in self.causes:
            if not _CAUSE.fullmatch(cause):
                raise BadInput(f"{cause!r} is not a cause.", "Copy one from `batchyard failures`, or use --code.")
        select: dict[str, Any] = {
            "causes": self.causes,
            "codes": self.codes,
            "partitions": self.partitions,
            "statuses": self.statuses,
            **split_names(self.items),
        }
        document: dict[str, Any] = {"select": {name: values for name, values in select.items() if values} or None}
        document |= {"patch": _patch(self.patch) or None, "skip_invalid": self.skip_invalid, "dry_run": self.dry_run}
        return {name: value for name, value in document.items() if value} or None


def retry_batch(ctx: typer.Context, batch: str, selection: RetrySelection, *, json: bool) -> None:
    """Retry the selected items, or print the items that would run (`--dry-run`)."""
    document, api = selection.document(), connect(ctx)
    batch_id = resolve(api, batch)
    path = f"/batches/{batch_id}/retry"
    if selection.dry_run:
        body = api.send("POST", path, document, answer_s=LONG_ANSWER_S)
        write_json(body) if json else _show(msgspec.json.decode(body))
        return
    before = _state(api, batch_id)
    body = api.send("POST", path, document, answer_s=LONG_ANSWER_S)
    again = msgspec.json.decode(body).get("retried")
    if again:
        with advice_on_interruption(f"The retry was accepted. See how far it is: batchyard status {batch_id}"):
            poll(
                lambda: _state(api, batch_id).round,
                lambda round_: round_ > before.round,
                every_s=_POLL_S,
                within_s=OPEN_WITHIN_S,  # it is no error then, because the command is durable
            )
    if json:
        write_json(body)
    else:
        say(f"{batch_id}: " + (f"running {counted(again, 'item')} again" if again else "nothing to run again"))


def _show(preview: dict[str, Any]) -> None:
    say(f"{counted(preview['items'], 'item')} would run again, nothing was changed")
    for sample in preview["samples"]:
        name = f" ({sample['custom_id']})" if sample.get("custom_id") else ""
        show(Text(f"  item {sample['ordinal']}{name}"))
        same = sample["before"] == sample["after"]
        lines = [("  = ", "", "after")] if same else [("  - ", "red", "before"), ("  + ", "green", "after")]
        for mark, style, which in lines:
            show(Text(mark + _brief(sample[which]), style))
    if preview["invalid"]:
        say(f"{counted(preview['invalid'], 'item')} would not run (leave them out with --skip-invalid):")
        for item in preview["invalid_items"][:_SHOWN]:
            show(Text(f"  item {item['ordinal']}: {item['code']}: {item['reason']}"))


def _brief(payload: Any) -> str:
    text = msgspec.json.encode(payload).decode()
    return text if len(text) <= _WIDE else text[:_WIDE] + "…"


def _patch(option: str | None) -> list[dict[str, Any]]:
    """Read a JSON Patch from the command line, or from the file that it names."""
    if option is None:
        return []
    text = option.encode("utf-8", "surrogateescape")
    if not option.lstrip().startswith(("[", "{")):
        try:
            text = Path(option).read_bytes()
        except OSError as error:
            what = f"--patch: {option} cannot be read: {error.strerror}."
            raise BadInput(what, "Name a file, or write the JSON.") from error
    document = read_json(as_utf8(text), "--patch", _EXAMPLE)
    operations = document if isinstance(document, list) else [document]
    if not all(isinstance(operation, dict) for operation in operations):
        raise BadInput("--patch is not a list of operations.", _EXAMPLE)
    return operations


_EXAMPLE = 'Write it like this: [{"op": "replace", "path": "/url", "value": "https://…"}]'


def _state(api: Api, batch_id: str) -> Batch:
    return msgspec.json.decode(api.get(f"/batches/{batch_id}"), type=Batch)
