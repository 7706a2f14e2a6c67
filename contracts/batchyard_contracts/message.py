"""The base of every message, and the AMQP properties that form its envelope."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

CONTENT_TYPE = "application/json"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A body above this is refused before it is parsed, and before it is published."""


class Value(BaseModel):
    """A part of a message: immutable; fields that a newer sender added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(Value):
    """A message body. `type` is at once routing-key stem, AMQP `type`, schema file name and example folder."""

    type: ClassVar[str]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body; raises `pydantic.ValidationError` when it is not this message."""
        return cls.model_validate_json(body)

    def encode(self) -> bytes:
        """Write the body as JSON, leaving out what is unset so that it stays small."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)

    def routing_key(self) -> str:
        """The key under which this message is published on its exchange."""
        return self.type


class Command(Message):
    """What a client asks for. Unknown fields are an error: a misspelt option must not be ignored in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What travels beside the body, as AMQP properties."""

    type: str
    message_id: str
    correlation_id: str | None = None
    reply_to: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    timestamp: datetime | None = None
    redelivered: bool = False
    headers: dict[str, object] = field(default_factory=dict)

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context of the sender, if it sent one."""
        value = self.headers.get("traceparent")
        return value if isinstance(value, str) else None
