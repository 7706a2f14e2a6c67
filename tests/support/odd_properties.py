"""AMQP properties as no well-kept library would write them, down to bytes that do not decode."""

import struct
from typing import Any

from hypothesis import strategies as st

_TEXTS = ("content_type", "content_encoding", "correlation_id", "message_id", "app_id")

texts = st.sampled_from(["", "x", "\x00", "a\nb", "é" * 127, "x" * 255, "../..", "%s", "{}"]) | st.text(max_size=60)
headers = st.dictionaries(
    st.sampled_from(["traceparent", "x-death", "x-batchyard-reason", "x-batchyard-user", "é", "a" * 120]),
    st.recursive(
        texts
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False, width=32)
        | st.booleans()
        | st.none()
        | st.binary(max_size=20).map(bytearray),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@st.composite
def readable(draw: st.DrawFn) -> dict[str, Any]:
    """Draw properties that every library can read, as arguments of `aio_pika.Message`."""
    fields: dict[str, Any] = {
        name: draw(texts.map(_cut)) for name in _TEXTS if name != "correlation_id" and not draw(st.integers(0, 3))
    }
    if not draw(st.integers(0, 3)):
        fields["timestamp"] = draw(st.sampled_from([0, 1, 2**31, 2**32, 253402300799]))
    if not draw(st.integers(0, 3)):
        fields["priority"] = draw(st.integers(0, 255))
    if not draw(st.integers(0, 2)):
        fields["headers"] = draw(headers)
    return fields


_not_text = st.binary(min_size=1, max_size=60).filter(lambda value: not _is_text(value))
_late = st.integers(253402300800, 2**64 - 1)
_bad_values = st.one_of(
    st.builds(lambda value: b"S" + struct.pack(">I", len(value)) + value, _not_text),
    st.builds(lambda value: b"T" + struct.pack(">Q", value), _late),
    st.builds(lambda value: b"D" + bytes([value]) + b"\xff\xff\xff\xff", st.integers(0, 255)),
)
_header_names = st.sampled_from([b"traceparent", b"x-batchyard-reason", b"other"]) | _not_text


@st.composite
def undecodable(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw encoded properties that a library cannot decode, or not as its user expects: bytes that are no UTF-8, times
    out of range, header values of rare types."""
    fields: dict[str, bytes] = {}
    for name in draw(st.lists(st.sampled_from([*_TEXTS, "timestamp", "headers"]), min_size=1, max_size=3, unique=True)):
        if name == "timestamp":
            fields[name] = struct.pack(">Q", draw(_late))
        elif name == "headers":
            fields[name] = _table(draw(st.lists(st.tuples(_header_names, _bad_values), min_size=1, max_size=3)))
        else:
            fields[name] = _short(draw(_not_text))
    return fields


def _table(entries: list[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(_short(name) + value for name, value in entries)
    return struct.pack(">I", len(content)) + content


def _short(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cut(text: str) -> str:
    """Shorten a text to the 255 bytes that a property can have."""
    return text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
