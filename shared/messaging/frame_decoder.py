"""Decodes AMQP frames in such a way that nothing that a sender put into a message can fail.

pamqp raises for a property that it cannot decode. Its connection then ends before anybody can acknowledge the message,
the broker delivers the message again, and nobody behind it is served. Here such a message arrives without the property,
with the reason among its headers, so that its consumer rejects it alone. pamqp has no hook for this, so that its
function is replaced; a frame that it can decode costs one comparison more.
"""

import struct
from collections.abc import Callable

import pamqp.frame
from pamqp import commands, constants, decode
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

MAX_PROPERTIES_BYTES = 16 * 1024
"""Largest size of a message's properties. pamqp takes time that grows with the square of the size of a table."""
FAULT_HEADER = "x-batchyard-fault"
"""Header under which a `PropertyFault` is kept. A sender cannot set it: what is received is never a `PropertyFault`."""

_FIXED_PART = struct.Struct(">HHQH")
"""Class, weight, size of the body and flags, with which the frame of the properties begins."""
_MORE_FLAGS = 1
_DELIVERY_METHODS = (Basic.Deliver, Basic.GetOk, Basic.Return)
_DELIVERY_MODES = (None, 1, 2)
_MAX_SHOWN_BYTES = 40

_decode_strictly: Callable[[bytes], tuple[int, int, FrameTypes]] = pamqp.frame.unmarshal


class PropertyFault(str):
    """Reason why the properties of a message cannot be read; a header that this decoder adds."""

    __slots__ = ()


def install() -> None:
    """Let every AMQP connection of this process decode with `decode_frame`. Safe to repeat."""
    pamqp.frame.unmarshal = decode_frame


def decode_frame(data_in: bytes) -> tuple[int, int, FrameTypes]:
    """Return the size of a frame, its channel and the frame.

    Raises pamqp's errors only for frames that the broker itself is to blame for.
    """
    if data_in[0] == constants.FRAME_HEADER:
        return _decode_properties_frame(data_in)
    try:
        return _decode_strictly(data_in)
    except Exception:
        if data_in[0] != constants.FRAME_METHOD or (frame := _decode_delivery(_payload(data_in))) is None:
            raise
    return len(data_in), _channel(data_in), frame


def _decode_properties_frame(data: bytes) -> tuple[int, int, FrameTypes]:
    error: Exception | None = None
    if len(data) <= MAX_PROPERTIES_BYTES:
        try:
            size, channel, frame = _decode_strictly(data)
        except Exception as raised:  # noqa: BLE001  decoded one by one below, or raised again
            error = raised
        else:
            if isinstance(frame, ContentHeader):
                _check_values(frame.properties)
            return size, channel, frame
    payload = _payload(data)
    if len(payload) < _FIXED_PART.size or data[-1] != constants.FRAME_END:
        raise error or ValueError("The frame of the properties is truncated.")
    return len(data), _channel(data), _decode_one_by_one(payload)


def _decode_one_by_one(payload: bytes) -> ContentHeader:
    """Return the properties that can be decoded; those that follow one of unknown length are lost."""
    frame = ContentHeader()
    frame.class_id, frame.weight, frame.body_size, flags = _FIXED_PART.unpack_from(payload)
    properties, offset, fault = frame.properties, _FIXED_PART.size, ""
    if len(payload) > MAX_PROPERTIES_BYTES:
        fault = f"The AMQP properties have {len(payload)} bytes; at most {MAX_PROPERTIES_BYTES} are allowed."
    if flags & _MORE_FLAGS:
        fault, flags = fault or "The AMQP properties have flags that AMQP 0-9-1 does not know.", 0
    for name in (name for name in properties.__slots__ if flags & properties.flags[name]):
        kind = properties.amqp_type(name)
        end = _end_of(kind, payload, offset)
        if end is None:
            fault = fault or f"The AMQP property {_public_name(name)} ends too early."
            break
        raw, offset = payload[offset:end], end
        if kind == "table" and len(raw) > MAX_PROPERTIES_BYTES:
            continue
        try:
            setattr(properties, name, decode.by_type(raw, kind)[1])
        except Exception as error:  # noqa: BLE001  whatever it is, it is the sender's
            fault = fault or (
                f"The AMQP property {_public_name(name)} cannot be decoded: {type(error).__name__}: {error}"[:300]
                + f". It begins with the bytes {raw[:_MAX_SHOWN_BYTES]!r}."
            )
    _check_values(properties)
    if fault:
        _add_fault(properties, fault)
    return frame


def _check_values(properties: Basic.Properties) -> None:
    """Replace the values that aio_pika refuses."""
    if properties.delivery_mode not in _DELIVERY_MODES:
        _add_fault(properties, f"The AMQP property `delivery_mode` is {properties.delivery_mode}; it has to be 1 or 2.")
        properties.delivery_mode = None
    if properties.expiration is not None and not (properties.expiration.isascii() and properties.expiration.isdigit()):
        _add_fault(properties, f"The AMQP property `expiration` is {properties.expiration!r}, not milliseconds.")
        properties.expiration = None


def _add_fault(properties: Basic.Properties, fault: str) -> None:
    properties.headers = (properties.headers or {}) | {FAULT_HEADER: PropertyFault(fault)}


def _decode_delivery(payload: bytes) -> FrameTypes | None:
    """Return the method that announces a message whose routing key is not UTF-8; None for any other method."""
    method = commands.INDEX_MAPPING.get(int.from_bytes(payload[:4]))
    if method is None or not issubclass(method, _DELIVERY_METHODS):
        return None
    frame, offset = method(), 4
    for name in frame.__slots__:
        kind = frame.amqp_type(name)
        end = _end_of(kind, payload, offset)
        if end is None:
            return None
        raw, offset = payload[offset:end], end
        if kind == "shortstr":
            setattr(frame, name, "".join(chr(byte) if byte < 128 else "?" for byte in raw[1:]))  # as long as it was
        else:
            setattr(frame, name, decode.by_type(raw, kind)[1])
    return frame


def _end_of(kind: str, payload: bytes, offset: int) -> int | None:
    """Return the offset behind a value, or None if the payload ends before it."""
    match kind:
        case "shortstr":
            size = 1 + (payload[offset] if offset < len(payload) else 0)
        case "table":
            size = 4 + int.from_bytes(payload[offset : offset + 4])
        case "longlong" | "timestamp":
            size = 8
        case "short":
            size = 2
        case "long":
            size = 4
        case _:  # an octet, or a single bit
            size = 1
    end = offset + size
    return end if end <= len(payload) else None


def _payload(data: bytes) -> bytes:
    return data[constants.FRAME_HEADER_SIZE : -1]


def _channel(data: bytes) -> int:
    return int.from_bytes(data[1:3])


def _public_name(name: str) -> str:
    return "`type`" if name == "message_type" else f"`{name}`"
