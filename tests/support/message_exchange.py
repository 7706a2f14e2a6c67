"""Reads messages as the services of a checkout do: `python message_exchange.py < BODIES`, with its tree on the path.

The input is a JSON object of bodies by message type. The output has, by type and in the same order, what the checkout
writes for each: null, with a line in `errors`, where one of its readers refuses it. It leaves out types it lacks.
"""

import importlib
import json
import sys
from typing import Any

FAST_READERS = {
    "chunk.processed.v1": ("services.aggregator.domain.report:Report", "services.dispatcher.domain.report:Report"),
    "items.page.v1": ("services.dispatcher.domain.page:Page",),
    "chunk.ready.v1": ("services.worker.consuming.chunk_decoder:ChunkDecoder",),
    "results.reply.v1": (
        "services.ingest.queries.result_page:ResultPage",
        "services.worker.summaries.results:ResultPage",
    ),
}
"""Readers beside the models of the contracts. One that a checkout lacks is not asked."""


def readers(message_type: str) -> list[Any]:
    """Return the readers of a message type, the model of the contracts first; none if the checkout lacks the type."""
    messages = importlib.import_module("batchyard_contracts.v1").MESSAGES
    found = [messages[message_type]] if message_type in messages else []
    for place in FAST_READERS.get(message_type, ()) if found else ():
        module, _, name = place.partition(":")
        try:
            found.append(getattr(importlib.import_module(module), name))
        except (ImportError, AttributeError):
            continue
    return found


def exchange(given: dict[str, list[str]]) -> dict[str, Any]:
    """Read all bodies by all readers, and write them by the models of the contracts."""
    written: dict[str, list[str | None]] = {}
    errors = []
    for message_type, bodies in given.items():
        if not (known := readers(message_type)):
            continue
        written[message_type] = []
        for text in bodies:
            body: str | None = None
            try:
                for reader in known:
                    read = reader.decode(text.encode())
                    body = body or read.encode().decode()
            except Exception as error:  # noqa: BLE001  whatever a reader raises, the message is not read
                errors.append(f"{message_type}: {type(error).__name__}: {error} in {text[:200]}"[:500])
                body = None
            written[message_type].append(body)
    return {"written": written, "errors": errors}


if __name__ == "__main__":
    json.dump(exchange(json.load(sys.stdin)), sys.stdout)
