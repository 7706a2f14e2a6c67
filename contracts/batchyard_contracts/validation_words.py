"""Words for values that do not fit a model, without regular expressions and names of Python."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from batchyard_contracts.pointer import pointer_to

_TEXT = {
    r"^[a-z][a-z0-9-]{0,47}$": "1 to 48 lower-case letters, digits and hyphens, a letter first",
    r"^[a-z][a-z0-9-]{0,62}$": "1 to 63 lower-case letters, digits and hyphens, a letter first",
    r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$": "1 to 63 letters, digits, underscores and hyphens, no digit first",
    r"^@?[A-Za-z_][A-Za-z0-9_-]{0,62}$": "the name of a parameter, such as items or @owner",
    r"^(/([^~/\x00-\x1f]|~0|~1){0,100}){1,10}$": "a JSON Pointer, such as /items",
    r"^[a-z0-9-]{0,63}$": "at most 63 lower-case letters, digits and hyphens",
    r"^[a-z][a-z0-9-]{0,31}$": "1 to 32 lower-case letters, digits and hyphens, a letter first",
    r"^[a-z][a-z0-9_]{0,31}$": "1 to 32 lower-case letters, digits and underscores, a letter first",
    r"^[a-z][a-z0-9_.]{0,63}$": "1 to 64 lower-case letters, digits, underscores and dots, a letter first",
    r"^[a-z][a-z ]{0,31}$": "1 to 32 lower-case letters and blanks, a letter first",
    r"^[A-Za-z0-9_-]{1,64}$": "1 to 64 letters, digits, underscores and hyphens",
    r"^[\x21-\x7e]+$": "visible ASCII characters without blanks",
    r"^[^\x00-\x1f\x7f]+$": "one line of text without control characters",
    r"^[^\x00-\x1f\x7f]*$": "one line of text without control characters",
    r"^[^\x00-\x1f\x7f]{0,63}$": "one line of text of at most 63 characters, without control characters",
    r"^[^\x00]*$": "text without NUL characters",
    r"^[0-9]{1,4}-[0-9a-f]{16}$": "a cause as the list of failures names it, such as 1-0123456789abcdef",
    r"^https?://[^\s\x00-\x1f\x7f]+$": "an address that begins with http:// or https:// and has no blanks",
    r"^(https?|s3)://[^\s/@\\\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*$": "an address such as https://example.org/items.csv "
    "or s3://bucket/prefix/, without blanks and credentials",
    r"^[^@\s,;<>\x22\x00-\x1f\x7f]+@[^@\s,;<>\x22\x00-\x1f\x7f]+$": "one e-mail address, such as ann@example.org",
    r"^(/([^~/]|~0|~1)*)*$": "a JSON Pointer, such as /url",
    r"^\.[a-z0-9]{1,10}$": "the ending of a file name, such as .txt",
    r"^[a-z]+/[a-z0-9.+-]{1,100}$": "a media type, such as text/plain",
    r"^(o(-1|[0-9]{1,10})|c-?[0-9]{1,10}\.[0-9]{1,10})$": "the `cursor` of a result or of a page, as it was sent",
    r"^[0-9a-f]{32}$": "32 hexadecimal digits",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits",
}
"""Forms of text that the contracts describe by a pattern, in words."""
_TAKES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "mapping_type": "a JSON object",
    "list_type": "a JSON list",
    "tuple_type": "a JSON list",
    "uuid_type": "a UUID",
    "uuid_parsing": "a UUID",
    "datetime_type": "a time with its zone, such as 2026-12-24T18:00:00Z",
    "datetime_parsing": "a time with its zone, such as 2026-12-24T18:00:00Z",
    "datetime_from_date_parsing": "a time with its zone, such as 2026-12-24T18:00:00Z",
    "timezone_aware": "a time with its zone, such as 2026-12-24T18:00:00Z",
    "none_required": "null",
    "json_type": "JSON",
    "invalid_key": "names that are text",
}
_COMPARED = {
    "greater_than": ("gt", "more than", "after"),
    "greater_than_equal": ("ge", "at least", "from"),
    "less_than": ("lt", "less than", "before"),
    "less_than_equal": ("le", "at most", "up to"),
}
_MAX_NAME = 200
_EXPECTED = "Input should be "
"""Beginning of most messages of pydantic."""
_KEY = "[key]"
"""Last part of the place of a name that does not fit, as pydantic writes it."""


def pattern_words(pattern: str) -> str | None:
    """Return the words for a pattern of the contracts; None for any other."""
    return _TEXT.get(pattern)


def predicate(error: ErrorDetails) -> str:
    """Return what is wrong with a value, as the rest of a sentence that begins with its name."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TAKES:
        return f"takes {_TAKES[kind]}"
    if kind in _COMPARED:
        name, words, since = _COMPARED[kind]
        limit = context[name]
        return f"takes {words} {_plain(limit)}" if isinstance(limit, int | float) else f"takes a time {since} {limit}"
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a known field"
        case "string_pattern_mismatch":
            return f"takes {_TEXT.get(context['pattern'], 'text of another form')}"
        case "string_too_short" | "string_too_long" | "too_short" | "too_long":
            return _size(kind, context)
        case "literal_error" | "enum":
            return f"takes {context['expected'].replace(chr(39), '`')}"
        case "value_error":
            return f"is not valid: {context['error']}"
    message = error["msg"]
    if message.startswith(_EXPECTED):
        return f"takes {message.removeprefix(_EXPECTED)}"
    return f"is not valid: {message[:1].lower()}{message[1:]}"


def sentence(error: ErrorDetails, whole: str = "The body") -> str:
    """Return what is wrong, with the name of the place; `whole` names the value that has no place."""
    location = error["loc"]
    if location and location[-1] == _KEY:
        return f"The name {_place(location[-2:-1])} in {_place(location[:-2]) or 'the body'} {predicate(error)}"
    return f"{_place(location) or whole} {predicate(error)}"


def pointer_of(location: Sequence[int | str]) -> str:
    """Return the place of a value as a JSON Pointer (RFC 6901)."""
    parts = location[:-1] if location and location[-1] == _KEY else location
    return pointer_to(parts)


def _place(location: Sequence[int | str]) -> str:
    """Return a place with dots between its names, cut where a name quotes the sender's own text."""
    place = "".join(each if each.isprintable() else "\ufffd" for each in ".".join(map(str, location)))
    place = place if len(place) <= _MAX_NAME else place[:_MAX_NAME] + "…"
    return place and f"`{place}`"


def _size(kind: str, context: Mapping[str, Any]) -> str:
    number = context["min_length"] if kind.endswith("short") else context["max_length"]
    is_text = kind.startswith("string") or context.get("field_type") == "Value"  # a secret is a value
    unit = "character" if is_text else "entry"
    units = unit if number == 1 else {"character": "characters", "entry": "entries"}[unit]
    return f"takes at {'least' if kind.endswith('short') else 'most'} {number} {units}"


def _plain(number: float) -> str:
    return f"{number:,.6f}".rstrip("0").rstrip(".") if isinstance(number, float) else f"{number:,}"
