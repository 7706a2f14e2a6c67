"""Comparison of two JSON Schemas of one message: can a reader of one schema read bodies of the other?

It is pure, and covers the keywords that the generated schemas use; an unknown keyword must not change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_NOTES = {"title", "description", "examples", "$schema", "$id", "$defs", "$comment", "deprecated"}
_LOWER = {"minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"}
_UPPER = {"maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"}
_NESTED = {"items", "additionalProperties", "propertyNames"}
_KNOWN = {"type", "enum", "const", "anyOf", "$ref", "properties", "required", "default"} | _LOWER | _UPPER | _NESTED


@dataclass(frozen=True, slots=True)
class IncompatibleChange:
    """Incompatible change of a schema. `path` is its place, from the body's root."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path or '(body)'}: {self.why}"


def narrowing_changes(old: Schema, new: Schema) -> list[IncompatibleChange]:
    """List what `old` allows and `new` does not: bodies of an older sender that a newer reader rejects."""
    return list(_Comparison(old, new, forward=False).compare(old, new, ""))


def widening_changes(old: Schema, new: Schema) -> list[IncompatibleChange]:
    """List what `new` allows and `old` does not: bodies of a newer sender that an older reader rejects.

    A new field is compatible where readers ignore unknown fields.
    """
    return list(_Comparison(new, old, forward=True).compare(new, old, ""))


class _Comparison:
    """Comparison that finds what `written` allows and `read` does not. `forward`: the reader is the older one."""

    def __init__(self, written_root: Schema, read_root: Schema, *, forward: bool) -> None:
        self._written_root = written_root
        self._read_root = read_root
        self._forward = forward
        self._open: set[tuple[str, str]] = set()

    def compare(self, written: Any, read: Any, path: str) -> Iterator[IncompatibleChange]:
        references = _reference(written), _reference(read)
        if not all(references):
            yield from self._compare(written, read, path)
        elif references not in self._open:  # else a definition that holds itself
            self._open.add(references)
            yield from self._compare(written, read, path)
            self._open.discard(references)

    def _compare(self, written: Any, read: Any, path: str) -> Iterator[IncompatibleChange]:
        written, read = _resolved(written, self._written_root), _resolved(read, self._read_root)
        if "default" in written and not self._forward and not _keeps_default(written["default"], read):
            yield IncompatibleChange(
                path, f"the default changed from {written['default']!r} to {read.get('default')!r}"
            )
        if "anyOf" in written or "anyOf" in read:
            yield from self._alternatives(written, read, path)
            return
        if wrong := list(self._types(written, read, path)):
            yield from wrong
            return
        yield from self._values(written, read, path)
        yield from self._limits(written, read, path)
        yield from self._fields(written, read, path)
        for keyword in sorted(_NESTED):
            yield from self._nested(keyword, written, read, path)
        for keyword in sorted((written.keys() | read.keys()) - _KNOWN - _NOTES):
            if keyword in read and read[keyword] != written.get(keyword):
                yield IncompatibleChange(path, self._changed(keyword, written.get(keyword), read[keyword]))

    def _alternatives(self, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        choices = [_resolved(choice, self._read_root) for choice in read.get("anyOf", [read])]
        for choice in written.get("anyOf", [written]):
            resolved = _resolved(choice, self._written_root)
            alike = [other for other in choices if other.get("type") == resolved.get("type")] or choices
            found = [list(self.compare(choice, other, path)) for other in alike]
            if all(found):
                yield from found[0]

    def _types(self, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        before, after = _types_of(written), _types_of(read)
        if after is None or (before is not None and all(t in after or _covers(after, t) for t in before)):
            return
        yield IncompatibleChange(path, self._changed("type", written.get("type", "anything"), read.get("type")))

    def _values(self, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        before, after = _enumerated(written), _enumerated(read)
        if after is None:
            return
        if before is None:
            yield IncompatibleChange(path, self._changed("values", "any", after))
        elif missing := [value for value in before if value not in after]:
            said = "are new, and older readers refuse them" if self._forward else "are no longer allowed"
            yield IncompatibleChange(path, f"the values {', '.join(map(repr, missing))} {said}")

    def _limits(self, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        for keyword in sorted((_LOWER | _UPPER) & read.keys()):
            limit, before = read[keyword], written.get(keyword)
            if before is None or (before < limit if keyword in _LOWER else before > limit):
                yield IncompatibleChange(path, self._changed(keyword, before, limit))

    def _fields(self, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        before, after = written.get("properties", {}), read.get("properties", {})
        for name in before:
            if name in after:
                yield from self.compare(before[name], after[name], f"{path}.{name}".lstrip("."))
            elif not self._forward:
                yield IncompatibleChange(f"{path}.{name}".lstrip("."), "the field was removed")
            elif read.get("additionalProperties") is False:
                yield IncompatibleChange(
                    f"{path}.{name}".lstrip("."), "the field is new, and older readers refuse unknown ones here"
                )
        for name in read.get("required", []):
            if name not in written.get("required", []):
                where = f"{path}.{name}".lstrip(".")
                if self._forward:
                    yield IncompatibleChange(where, "the field was always there and may now be absent")
                elif name in before:
                    yield IncompatibleChange(where, "the field was optional and is now required")
                else:
                    yield IncompatibleChange(where, "the field is new and required")

    def _nested(self, keyword: str, written: Schema, read: Schema, path: str) -> Iterator[IncompatibleChange]:
        if keyword not in read or read[keyword] is True:
            return
        where = f"{path}[]" if keyword == "items" else f"{path}.*".lstrip(".") if path else "*"
        before = written.get(keyword, True)
        if before is False or (read[keyword] is False and self._forward):
            return
        if read[keyword] is False:
            yield IncompatibleChange(path, "unknown fields are refused, and were ignored before")
        else:
            yield from self.compare({} if before is True else before, read[keyword], where)

    def _changed(self, what: str, written: Any, read: Any) -> str:
        old, new = (read, written) if self._forward else (written, read)
        return f"`{what}` changed from {old!r} to {new!r}"


def _reference(schema: Any) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, Mapping) else ""


def _resolved(schema: Any, root: Schema) -> Schema:
    """Schema with its reference into `$defs` resolved; keywords beside the reference take precedence."""

    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        schema = {**root["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}
    return dict(schema)


def _keeps_default(before: Any, read: Schema) -> bool:
    """Tell whether a default is as before; one that is an object may have new fields with their own defaults."""
    after = read.get("default")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return bool(before == after)
    fields = read.get("properties", {})
    new = after.keys() - before.keys()
    return all(name in after and after[name] == value for name, value in before.items()) and all(
        "default" in fields.get(name, {}) and after[name] == fields[name]["default"] for name in new
    )


def _types_of(schema: Schema) -> list[str] | None:
    found = schema.get("type")
    return [found] if isinstance(found, str) else found


def _covers(types: list[str], one: str) -> bool:
    return one == "integer" and "number" in types


def _enumerated(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found
