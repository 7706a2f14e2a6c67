"""Compatibility check of the HTTP API with the published one: `python -m batchyard_contracts.schema.openapi_compat`.

A client that works with the published description keeps working: its operations and their answers stay, its requests
are still accepted, and it can still read the answers. The published description is that of the newest tag, or else the
first one that was committed.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from batchyard_contracts.schema.compat import History
from batchyard_contracts.schema.evolution import Schema, narrowing_changes, widening_changes
from batchyard_contracts.schema.export import HOME

FILE = "openapi.json"
_PREFIX = "#/components/schemas/"
_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")

Document = Mapping[str, Any]


def incompatible_changes(base: Document, now: Document) -> list[str]:
    """List the changes that break clients, one sentence each: operation, place, reason."""
    base, now = _with_definitions(base), _with_definitions(now)
    found: list[str] = []
    for path, item in base["paths"].items():
        for method in (method for method in _METHODS if method in item):
            name, new = f"{method.upper()} {path}", now["paths"].get(path, {}).get(method)
            if new is None:
                found.append(f"{name}: the operation was removed")
                continue
            changes = [
                *_parameters(base, now, item[method], new),
                *_body(base, now, item[method], new),
                *_responses(base, now, item[method], new),
            ]
            found += [f"{name}: {change}" for change in changes]
    return found


def _parameters(base: Document, now: Document, old: Document, new: Document) -> Iterator[str]:
    before = {(one["in"], one["name"]): one for one in old.get("parameters", [])}
    after = {(one["in"], one["name"]): one for one in new.get("parameters", [])}
    for place, name in before.keys() - after.keys():
        yield f"the parameter {name} ({place}) was removed"
    for key, one in after.items():
        known = before.get(key)
        if one.get("required") and not (known or {}).get("required"):
            yield f"the parameter {key[1]} ({key[0]}) is now required"
        if known is not None:
            changes = narrowing_changes(_schema(base, known["schema"]), _schema(now, one["schema"]))
            yield from (f"the parameter {key[1]} ({key[0]}): {change}" for change in changes)


def _body(base: Document, now: Document, old: Document, new: Document) -> Iterator[str]:
    before, after = old.get("requestBody", {}), new.get("requestBody", {})
    if after.get("required") and not before.get("required"):
        yield "a body is now required"
    for kind, content in before.get("content", {}).items():
        if kind not in after.get("content", {}):
            yield f"a body of the type {kind} is no longer accepted"
        else:
            new_schema = after["content"][kind].get("schema", {})
            changes = narrowing_changes(_schema(base, content.get("schema", {})), _schema(now, new_schema))
            yield from (f"body: {change}" for change in changes)


def _responses(base: Document, now: Document, old: Document, new: Document) -> Iterator[str]:
    for status, response in old["responses"].items():
        if not status.startswith("2"):
            continue
        for kind, content in response.get("content", {}).items():
            answer = new["responses"].get(status, {}).get("content", {}).get(kind)
            if answer is None:
                yield f"there is no answer {status} of the type {kind} any more"
                continue
            changes = widening_changes(_schema(base, content.get("schema", {})), _schema(now, answer.get("schema", {})))
            yield from (f"answer {status}: {change}" for change in changes)


def _with_definitions(document: Document) -> Document:
    """Copy of a description whose references lead into `$defs` of each schema."""
    found: Document = json.loads(json.dumps(document).replace(_PREFIX, "#/$defs/"))
    return found


def _schema(document: Document, schema: Schema) -> Schema:
    """Schema that stands for itself, with the components as its definitions."""
    return {**schema, "$defs": document.get("components", {}).get("schemas", {})}


def main() -> int:
    """Run the command line and return the exit code."""
    history = History(HOME)
    base = history.published(FILE)
    if base is None:
        sys.stdout.write("No HTTP API was published yet.\n")
        return 0
    commit, text = base
    found = incompatible_changes(json.loads(text), json.loads((HOME / FILE).read_text("utf-8")))
    for line in found:
        sys.stdout.write(f"{line}\n")
    if not found:
        sys.stdout.write(f"The HTTP API is compatible with {commit[:12]}.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
