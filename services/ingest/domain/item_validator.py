"""Validator of the items of one workload, compiled once from its manifest."""

import ipaddress
import json
from hashlib import blake2b
from typing import Any

import orjson

from batchyard_contracts.egress import why_unreachable
from batchyard_contracts.partition import Partitioner
from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import Egress, Manifest
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH
from services.ingest.domain.json_schema import CompiledSchema, schema_name
from services.ingest.domain.json_shape import has_nul, is_deeper_than
from services.ingest.domain.limits import MAX_DEPTH, MAX_ITEM_BYTES
from services.ingest.domain.rejection import Rejection

_INVALID = Rejection("invalid_item", "")


class ItemValidator:
    """Schemas, limits, partitions and deduplication key of one version of a workload. Raises `ValueError` on an
    invalid schema."""

    def __init__(self, manifest: Manifest) -> None:
        self._schema = CompiledSchema(schema_name(manifest, "item"), manifest.item_schema)
        source = manifest.source_schema
        self._source_schema = None if source is None else CompiledSchema(schema_name(manifest, "source"), source)
        refusal_name = schema_name(manifest, "refusal")
        self._refusals = [
            (CompiledSchema(refusal_name, refusal.item_schema), refusal.reason) for refusal in manifest.refusals
        ]
        self._bounds = _AddressBounds(manifest.egress) if manifest.egress is not None else None
        self.unit = manifest.unit.name if manifest.unit else None
        self._partitions = Partitioner(manifest)
        self._dedup_pointer = CompiledPointer(manifest.dedup) if manifest.dedup is not None else None
        self.has_summary = manifest.summary_schema is not None
        """True when the workload summarizes its results."""
        self._max_items = min(MAX_ITEMS_PER_BATCH, manifest.max_items or MAX_ITEMS_PER_BATCH)

    @property
    def has_source_schema(self) -> bool:
        """True when the workload can expand sources."""
        return self._source_schema is not None

    def check_count(self, items: int) -> Rejection | None:
        """Return why a batch cannot have so many items; None when it can."""
        if items <= self._max_items:
            return None
        limit = self._max_items
        return Rejection(
            "too_many_items", f"A batch of this workload has at most {limit} items. Submit the rest as another batch."
        )

    def check(self, payload: Any, raw: bytes, *, explain: bool = True) -> Rejection | None:
        """Return why a payload is invalid; None when it is valid. `raw` is the same payload as JSON. Without `explain`
        the rejection of one that does not fit the schema has no words, and takes no time."""
        return self._check(self._schema, payload, raw, explain=explain) or self._refusal(payload)

    def check_source(self, source: Any, raw: bytes) -> Rejection | None:
        """Return why a source is invalid; None when it is valid. Only for a workload that can expand sources."""
        if self._source_schema is None:
            raise ValueError("the workload cannot expand sources")
        return self._check(self._source_schema, source, raw, explain=True)

    def _check(self, schema: CompiledSchema, payload: Any, raw: bytes, *, explain: bool) -> Rejection | None:
        if len(raw) > MAX_ITEM_BYTES:
            return Rejection(
                "item_too_large",
                f"The item has {len(raw)} bytes; at most {MAX_ITEM_BYTES} are allowed. Pass a reference to the data.",
                413,
            )
        if not isinstance(payload, dict):
            return Rejection("invalid_item", "The payload of an item has to be a JSON object.")
        if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and is_deeper_than(payload, MAX_DEPTH):
            return Rejection("item_too_deep", f"The item is nested deeper than {MAX_DEPTH} levels. Flatten it.")
        if b"\\u0000" in raw and has_nul(payload):
            return Rejection(
                "invalid_item", "The item contains the character U+0000, which cannot be stored. Remove it."
            )
        if not schema.is_valid(payload):
            if not explain:
                return _INVALID
            misfit = schema.explain(payload)
            return Rejection("invalid_item", misfit.detail, pointer=misfit.pointer)
        return None

    def _refusal(self, payload: Any) -> Rejection | None:
        for schema, reason in self._refusals:
            if schema.is_valid(payload):
                return Rejection("item_cannot_run", reason)
        return self._bounds.check(payload) if self._bounds is not None else None

    def partition(self, payload: dict[str, Any]) -> str:
        """Return the destination of an item; empty when the workload or the item names none."""
        return self._partitions.partition_of(payload)

    def fingerprint(self, payload: dict[str, Any]) -> bytes | None:
        """Return a digest that is equal for items that are duplicates of each other; None for an item that never is
        one."""
        if self._dedup_pointer is None:
            return None
        value = self._dedup_pointer.find(payload)
        if value is MISSING:
            return None
        try:
            canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # an integer beyond 64 bits
            canonical = json.dumps(value, sort_keys=True).encode()
        return blake2b(canonical, digest_size=16).digest()


class _AddressBounds:
    """Bounds of the addresses that items name, so that those that can never be called are rejected."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._pointer = CompiledPointer(egress.pointer)
        self._networks = [ipaddress.ip_network(network) for network in egress.networks]

    def check(self, payload: Any) -> Rejection | None:
        """Return why the address of an item can never be called; None when it may be, or when there is none."""
        url = self._pointer.find(payload)
        if not isinstance(url, str) or not (reason := why_unreachable(url, self._networks, self._egress.setting)):
            return None
        name = self._egress.pointer[1:].replace("/", ".")
        return Rejection("item_cannot_run", f"`{name}` cannot be called: {reason}", pointer=self._egress.pointer)
