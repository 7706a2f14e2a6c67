"""Finds JSON objects wherever a model writes them: after its thoughts, in prose, fences, parts or a call. Pure."""

import json
from collections.abc import Iterator
from typing import Any

MAX_TRIES = 200
"""Largest number of opening braces of a text at which an object is tried."""
_DECODER = json.JSONDecoder()


def json_objects(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a message of a chat completion. What is written last comes first: it is the answer."""
    if isinstance(message.get("parsed"), dict):
        yield message["parsed"]
    for text in (_text(message.get("content")), *_arguments(message), _text(message.get("reasoning_content"))):
        yield from reversed(_objects(text))


def _objects(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    start = text.find("{")
    for _ in range(MAX_TRIES):
        if start < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            found.append(value)
        start = text.find("{", end)
    return found


def _text(content: Any) -> str:
    """Return the text of a content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _arguments(message: dict[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            yield function["arguments"]
