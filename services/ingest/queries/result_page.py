"""A page of outcomes: each stays the JSON in which it arrived, so that numbers keep all digits at any depth."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from batchyard_contracts.v1.queries import ResultsPage, StreamPage
from batchyard_contracts.v1.values import ItemResult


class JsonNumber:
    """A number with a fraction or an exponent, as it is written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonNumber) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class OutcomeError(msgspec.Struct):
    """`ItemError`."""

    code: str
    message: str = ""
    scope: str = "item"


class Outcome(msgspec.Struct):
    """`ItemResult`."""

    ordinal: int
    status: str
    custom_id: str | None = None
    round: int = 1
    attempts: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: OutcomeError | None = None
    duplicate_of: int | None = None
    duplicate_of_batch: str | None = None
    elapsed_ms: int | None = None
    cached: bool = False


class ResultPage(msgspec.Struct):
    """Outcomes in the order of the ordinals. `next_after` is the cursor of the next page; None at the end."""

    type: ClassVar[str] = ResultsPage.type
    items: list[msgspec.Raw] = []
    next_after: int | None = None

    @classmethod
    def decode(cls, body: bytes) -> "ResultPage":
        """Decode a reply; raises `pydantic.ValidationError` when it is none."""
        try:
            page = _page.decode(body)
        except _UNREADABLE:  # the contract accepts more, or explains the error
            reply = ResultsPage.decode(body)
            return cls(_lines(reply.items), reply.next_after)
        page.keep_on_lines(body)
        return page

    def keep_on_lines(self, body: bytes) -> None:
        """Take the line ends out of the outcomes of a reply: between tokens, since texts have them as escapes."""
        if b"\n" in body or b"\r" in body:
            self.items = [msgspec.Raw(_one_line(item)) for item in self.items]

    def joined(self, separator: bytes) -> bytes:
        """Return the outcomes as JSON, each on one line, with a separator between them."""
        return separator.join(self.items)

    def size(self) -> int:
        """Return the size of the outcomes in bytes of JSON."""
        return sum(map(len, self.items))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield each outcome, with its result as JSON."""
        return map(_outcome.decode, self.items)


class StreamedPage(ResultPage):
    """A page of a stream, whose outcomes have cursors. `cursor` is that of the next page."""

    type: ClassVar[str] = StreamPage.type
    found: bool = True
    cursor: str | None = None
    has_more: bool = False
    has_ended: bool = False

    @classmethod
    def decode(cls, body: bytes) -> "StreamedPage":
        """Decode a reply; raises `pydantic.ValidationError` when it is none."""
        try:
            page = _streamed_page.decode(body)
        except _UNREADABLE:
            reply = StreamPage.decode(body)
            ends = {"has_more": reply.has_more, "has_ended": reply.has_ended}
            return cls(_lines(reply.items), found=reply.found, cursor=reply.cursor, **ends)
        page.keep_on_lines(body)
        return page


def read_json(text: bytes | msgspec.Raw) -> Any:
    """Return a JSON value whose numbers are integers of any size and `JsonNumber`s."""
    return _exact.decode(text)


def write_json(value: Any) -> bytes:
    """Return the JSON of a value that `read_json` returned."""
    return _encode(value)


def sorted_json(value: Any) -> bytes:
    """Return JSON that is equal for equal values of `read_json`."""
    return _sorted(value)


def _lines(items: Iterable[ItemResult]) -> list[msgspec.Raw]:
    return [msgspec.Raw(item.model_dump_json(exclude_none=True).encode()) for item in items]


def _one_line(text: msgspec.Raw) -> bytes:
    return bytes(text).replace(b"\n", b" ").replace(b"\r", b" ")


def _number(number: Any) -> msgspec.Raw:
    if isinstance(number, JsonNumber):
        return msgspec.Raw(number.text.encode())
    raise NotImplementedError


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_page = msgspec.json.Decoder(ResultPage)
_streamed_page = msgspec.json.Decoder(StreamedPage)
_outcome = msgspec.json.Decoder(Outcome)
_exact = msgspec.json.Decoder(float_hook=JsonNumber)
_encode = msgspec.json.Encoder(enc_hook=_number).encode
_sorted = msgspec.json.Encoder(enc_hook=_number, order="sorted").encode
