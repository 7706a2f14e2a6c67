"""Entity tags of a batch, and the condition of a command that the batch was not changed since it was read.

A tag has two parts. The first is the version of what commands change: it moves with each command, and when the batch is
sealed. The second is a digest of the document. `If-None-Match` compares the whole tag, so that no progress is missed;
`If-Match` compares the version, so that progress does not hinder a command.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Self

from batchyard_contracts.v1.queries import BatchState
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

MAX_CONDITION = 2000
"""Largest number of characters of a condition."""
CHANGED = Rejection(
    "precondition_failed", "The batch was changed since you read it. Read it again, and decide anew.", 412
)
_TAG = re.compile(r'\s*(W/)?"([^"\x00-\x20\x7f]*)"\s*')
_SEPARATOR = "."


def entity_tag(state: BatchState, document: bytes) -> str:
    """Return the strong entity tag of a batch, in its quotation marks."""
    version = _version(state.controlled_at, is_open=state.counts.total is None)
    return f'"{version}{_SEPARATOR}{blake2b(document, digest_size=8).hexdigest()}"'


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Tell whether a client has the document with this tag already."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag.strip('"') in [
        found for _, found in _tags("If-None-Match", if_none_match)
    ]


@dataclass(frozen=True, slots=True)
class Precondition:
    """Versions of a batch, one of which has to be the present one; None: any may be."""

    versions: frozenset[str] | None = None

    @classmethod
    def parse(cls, if_match: str | None) -> Self:
        """Read the header `If-Match`; raises `IngestError` (422)."""
        if if_match is None or if_match.strip() == "*":
            return cls()
        strong = [tag for is_weak, tag in _tags("If-Match", if_match) if not is_weak]
        return cls(frozenset(tag.partition(_SEPARATOR)[0] for tag in strong))

    def check(self, header: BatchHeader) -> None:
        """Raise `IngestError` (412) when the batch was changed."""
        if self.versions is not None and (
            _version(header.controlled_at, is_open=header.state == "open") not in self.versions
        ):
            raise IngestError(CHANGED)


NO_PRECONDITION = Precondition()


def _version(controlled_at: datetime | None, *, is_open: bool) -> str:
    """Return the version of a batch by the time of its newest command."""
    microseconds = 0 if controlled_at is None else round(controlled_at.timestamp() * 1_000_000)
    return f"{microseconds:x}{'-open' if is_open else ''}"


def _tags(name: str, text: str) -> list[tuple[bool, str]]:
    """Return the entity tags in a header, and whether each is weak."""
    found: list[tuple[bool, str]] = []
    end = 0
    while match := _TAG.match(text, end):
        found.append((match[1] is not None, match[2]))
        end = match.end()
        if end == len(text):
            return found
        if text[end] != ",":
            break
        end += 1
    raise IngestError(Rejection("invalid_request", f'The header {name} takes `*` or entity tags, such as "5f3c.9a1b".'))
