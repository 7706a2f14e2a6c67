"""How the items of one workload are judged, sorted and compared: compiled once from what the workload announced."""

import json
from hashlib import blake2b
from typing import Any

import jsonschema_rs
import orjson

from batchyard_contracts.partition import Partitioner
from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH
from services.ingest.domain.fault import Fault
from services.ingest.domain.json_shape import depth_exceeds, has_nul
from services.ingest.domain.limits import MAX_DEPTH, MAX_ITEM_BYTES

_MOST = 300
"""Characters of an explanation that are passed on: a schema error may quote the whole item."""


class Rules:
    """The rules of one version of a workload. Raises `ValueError` when the announced schema is none."""

    def __init__(self, manifest: Manifest) -> None:
        self._schema = _validator(manifest, "item", manifest.item_schema)
        source = manifest.source_schema
        self._source_schema = None if source is None else _validator(manifest, "source", source)
        self.unit = manifest.unit.name if manifest.unit else None
        self._partitions = Partitioner(manifest)
        self._dedup = CompiledPointer(manifest.dedup) if manifest.dedup is not None else None
        self.summarized = manifest.summary_schema is not None
        """Whether a summary is made of its results."""
        self._most_items = min(MAX_ITEMS_PER_BATCH, manifest.max_items or MAX_ITEMS_PER_BATCH)

    @property
    def take_sources(self) -> bool:
        """Whether the workload can find items by itself."""
        return self._source_schema is not None

    def crowd(self, items: int) -> Fault | None:
        """What is wrong with a batch of so many items; None: nothing."""
        if items <= self._most_items:
            return None
        most = self._most_items
        return Fault("too_many_items", f"A batch of this workload takes {most} items. Send the rest as another batch.")

    def judge(self, payload: Any, raw: bytes) -> Fault | None:
        """What is wrong with a payload, given also as the JSON it came as; None: nothing."""
        return self._judge(self._schema, payload, raw)

    def judge_source(self, source: Any, raw: bytes) -> Fault | None:
        """The same of a source, of a workload that takes them."""
        return self._judge(self._source_schema, source, raw)

    def _judge(self, schema: Any, payload: Any, raw: bytes) -> Fault | None:
        if len(raw) > MAX_ITEM_BYTES:
            return Fault(
                "item_too_large",
                f"The item has {len(raw)} bytes; at most {MAX_ITEM_BYTES} are taken. Pass an address of the data.",
                413,
            )
        if not isinstance(payload, dict):
            return Fault("invalid_item", "An item's payload is a JSON object.")
        if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and depth_exceeds(payload, MAX_DEPTH):
            return Fault("item_too_deep", f"The item is nested deeper than {MAX_DEPTH} levels. Make it flatter.")
        if b"\\u0000" in raw and has_nul(payload):
            return Fault("invalid_item", "The item holds the character U+0000, which cannot be stored. Remove it.")
        if not schema.is_valid(payload):
            return Fault("invalid_item", _explain(schema, payload))
        return None

    def partition(self, payload: dict[str, Any]) -> str:
        """The destination that the item goes to; empty when the workload or the item names none."""
        return self._partitions.partition_of(payload)

    def fingerprint(self, payload: dict[str, Any]) -> bytes | None:
        """The same for two items that are one and the same to the workload; None: never the same as another."""
        if self._dedup is None:
            return None
        value = self._dedup.find(payload)
        if value is MISSING:
            return None
        try:
            canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # an integer beyond 64 bits
            canonical = json.dumps(value, sort_keys=True).encode()
        return blake2b(canonical, digest_size=16).digest()


def _validator(manifest: Manifest, what: str, schema: dict[str, Any]) -> Any:
    try:
        return jsonschema_rs.validator_for(schema, retriever=_no_retrieval)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(
            f"The {what} schema of {manifest.name} {manifest.version} is not usable: {_brief(error)}"
        ) from error


def _explain(schema: Any, payload: dict[str, Any]) -> str:
    error = next(iter(schema.iter_errors(payload)))
    where = "/".join(str(part) for part in error.instance_path)
    return f"{'/' + where if where else 'The payload'}: {_brief(error)}"


def _brief(error: Exception) -> str:
    text = str(getattr(error, "message", error)).partition("\n")[0]
    return text if len(text) <= _MOST else text[:_MOST] + "…"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}; a schema has to stand for itself")
