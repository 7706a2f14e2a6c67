"""Bodies of messages as a careless or hostile sender might write them: published examples with some changes.

An example names a batch, a chunk and a workload by placeholders, which `fill` replaces by those of a running system.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from batchyard_contracts.schema.export import HOME

BATCH, CHUNK = "01900000-0000-7000-8000-00000000ba7c", "01900000-0000-4000-8000-00000000c40c"
WORKLOAD, WORKER = "placeholder-workload", "placeholder-worker"
Place = tuple[Any, Any]
"""A list or an object, and the index or key of a value in it."""

_PLACEHOLDERS = {
    "batch_id": BATCH,
    "chunk_id": CHUNK,
    "chunks": CHUNK,
    "name": WORKLOAD,
    "owner": "default",
    "worker_id": WORKER,
    "workload": WORKLOAD,
    "workloads": WORKLOAD,
}
_DEEP: Any = {}
for _ in range(150):
    _DEEP = {"a": [_DEEP]}
_RAW = re.compile(r'"raw:([^"]*)"')
_ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    10**30,
    -(10**30),
    0.1,
    -0.0,
    1e308,
    5e-324,
    "raw:NaN",
    "raw:-Infinity",
    "raw:1e400",
    "raw:" + "9" * 5000,
    "",
    "0",
    "true",
    "\x00",
    "a\nb",
    "\ud800",
    "é" * 300,
    "x" * 70_000,
    "2026-02-30T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-01T00:00:00",
    "00000000-0000-0000-0000-000000000000",
    [],
    {},
    [[]],
    [None] * 200,
    {"": None},
    {"$ref": "#"},
    {str(number): number for number in range(200)},
    _DEEP,
]
_values = st.sampled_from(_ODD_VALUES).map(copy.deepcopy) | st.integers() | st.floats() | st.text(max_size=20)


def templates(message_type: str) -> list[Any]:
    """Return the published examples of a message, with placeholders."""
    found = sorted((HOME / "examples" / message_type).glob("*.json"))
    return [_with_placeholders(json.loads(path.read_bytes()), None) for path in found]


@st.composite
def bodies(draw: st.DrawFn, message_type: str) -> bytes:
    """Draw a body: an example of the message as it is, with some values changed, or broken as a text."""
    body = {"root": copy.deepcopy(draw(st.sampled_from(templates(message_type))))}
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(body))
        _change(draw, places[draw(st.integers(0, len(places) - 1))])
    text = json.dumps(body.get("root"), ensure_ascii=draw(st.booleans()))
    encoded = _RAW.sub(r"\1", text).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)):
        return encoded
    at = draw(st.integers(0, len(encoded)))
    return encoded[:at] + draw(st.binary(max_size=4)) + encoded[at + draw(st.integers(0, 3)) :]


def fill(body: bytes, known: Mapping[str, str]) -> bytes:
    """Replace placeholders by what they stand for."""
    for placeholder, value in known.items():
        body = body.replace(placeholder.encode(), value.encode())
    return body


def _with_placeholders(value: Any, key: str | None) -> Any:
    if isinstance(value, dict):
        return {name: _with_placeholders(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_placeholders(part, key) for part in value]
    return _PLACEHOLDERS.get(key or "", value) if isinstance(value, str) else value


def _places(value: Any) -> Iterator[Place]:
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(found):
        yield value, key
        yield from _places(part)


def _change(draw: st.DrawFn, place: Place) -> None:
    holder, key = place
    match draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "wrap", "rename"])):
        case "remove" if key != "root":
            del holder[key]
        case "repeat" if isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(draw(st.integers(1, 50))))
        case "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"a": holder[key]}]))
        case "rename" if isinstance(holder, dict) and key != "root":
            holder[draw(st.text(max_size=5) | st.just("x" * 1000))] = holder.pop(key)
        case _:
            holder[key] = draw(_values)
