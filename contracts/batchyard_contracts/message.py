"""Base of all messages, and the AMQP properties that form their envelope."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler

CONTENT_TYPE = "application/json"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest body in bytes: a larger one is rejected before it is parsed, and before it is published."""
MAX_TRACEPARENT_LENGTH = 255
BUNDLE_CONTENT_TYPE = "application/x-ndjson"
"""Content type of a bundle: several messages of one type, the body of one on each line."""
MAX_BUNDLE_MESSAGES = 100
"""Largest number of messages of a bundle."""


class Value(BaseModel):
    """Immutable part of a message. Unknown fields are ignored, because a newer sender may have added them."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Message(Value):
    """Message body. Its `type` is the stem of its routing key, its AMQP `type`, its schema's file name and the folder
    of its examples."""

    type: ClassVar[str]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse a body; raises `pydantic.ValidationError` if it is not this message."""
        return cls.model_validate_json(body)

    def encode(self) -> bytes:
        """Serialize the body as JSON, without the fields that are None."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)

    def routing_key(self) -> str:
        """Routing key under which this message is published on its exchange."""
        return self.type


class Command(Message):
    """Command of a client. Unknown fields are an error, so that a misspelt option is noticed, and so is a value of
    another type than the schema has: the text "7" is no number, and 1 is not `true`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse a body; raises `pydantic.ValidationError` if it is not this command."""
        return cls.model_validate_json(body, strict=True)


def write_null_payload(self: Any, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Serialize a value with its payload also if that is `null`, as `model_serializer(mode="wrap")`: it is required, so
    that nobody could read the value without it."""
    found: dict[str, Any] = serialize(self)
    return found if self.payload is not None else found | {"payload": None}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Envelope of a message: its AMQP properties."""

    type: str
    message_id: str
    correlation_id: str | None = None
    reply_to: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    owner: str | None = None
    """Owner of a client's message: its user, or who owns messages without one; set by the service that received it."""
    is_from_worker: bool = False
    """True of a worker's question, as the service that received it knows from its exchange."""
    timestamp: datetime | None = None
    redelivered: bool = False
    headers: dict[str, object] = field(default_factory=dict)

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the sender; None: it sent none, or a text that cannot be one."""
        value = self.headers.get("traceparent")
        if not isinstance(value, str) or len(value) > MAX_TRACEPARENT_LENGTH:
            return None
        return value if value.isascii() and value.isprintable() else None
