"""Remote files: files of items that ingest reads itself, how far it has read them, and who may name which."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from batchyard_contracts.egress import Network, why_unreachable
from batchyard_contracts.message import Value
from batchyard_contracts.v1.commands import RemoteFiles
from services.ingest.domain.rejection import Rejection

MAX_FILES = 10_000
"""Largest number of files of one batch."""
MAX_REDIRECTS = 5
MAX_ATTEMPTS = 20
"""Attempts in a row without a new item after which a file counts as unavailable; about a quarter of an hour."""
_LONGEST_PAUSE_S = 60.0
_MAX_NAME = 300
_NETWORKS = "BATCHYARD_REMOTE_FILES_NETWORKS"
ANYBODY = "*"
"""Name that stands for all owners in the setting of buckets; it is no name of an owner."""
FileFormat = Literal["ndjson", "csv"]
_EXTENSIONS: Mapping[str, FileFormat] = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv"}
_MEDIA_TYPES: Mapping[str, FileFormat] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "text/csv": "csv",
}


class FileUnreadable(Exception):
    """A file cannot be read, or not to its end; `code` and the text become the error of an item."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class FileAway(Exception):
    """The server of a file gave no complete answer; the same may succeed later."""


class RemoteFile(Value):
    """One file of a batch, as it was when the files were listed."""

    name: str
    """Address without its query, or the key in the bucket."""
    version: str | None = None
    """Entity tag with which it is read; None: the first answer tells it."""


class ReadingProgress(Value):
    """Place up to which the items of the files are in the batch."""

    file: int = 0
    """Index of the file that is read."""
    rows: int = 0
    """Number of its rows that are in the batch."""
    digest: str = ""
    """Digest of these rows, by which another content is recognised."""
    version: str | None = None
    """Entity tag of its content, once it is known."""
    attempts: int = 0
    """Attempts since the last new item."""
    accepted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class RemoteFilesJob:
    """The files of one batch; `version` counts the claims, so that an earlier one can be recognised."""

    batch_id: UUID
    owner: str
    form: RemoteFiles
    files: tuple[RemoteFile, ...] | None
    progress: ReadingProgress
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class RemoteFileRules:
    """Rules by which owners may name remote files."""

    networks: Sequence[Network] = ()
    """Private networks that may be called."""
    buckets: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Prefixes `s3://bucket/prefix` by owner; `*` stands for all of them."""

    def refusal(self, owner: str, form: RemoteFiles) -> Rejection | None:
        """Return why an owner may not name these files; None if they may be read."""
        if not form.url.startswith("s3://"):
            if not (reason := why_unreachable(form.url, self.networks, _NETWORKS)):
                return None
            return Rejection("address_refused", f"The URL cannot be read: {reason}", pointer="/items_from/url")
        segments = urlsplit(form.url).path.removeprefix("/").removesuffix("/").split("/")
        is_plain = not any(segment in {".", ".."} for segment in segments) and not set("?#*") & set(form.url)
        is_plain = is_plain and ("" not in segments or segments == [""])
        granted = {*self.buckets.get(owner, ()), *self.buckets.get(ANYBODY, ())}
        if is_plain and any(_is_below(form.url, prefix) for prefix in granted):
            return None
        detail = (
            f"The owner {owner!r} may not read this place. An operator names the buckets and prefixes of an owner in "
            "BATCHYARD_REMOTE_FILES_BUCKETS."
        )
        return Rejection("bucket_refused", detail, 403, pointer="/items_from/url")


NO_REMOTE_FILES = RemoteFileRules()


def _is_below(url: str, prefix: str) -> bool:
    whole = prefix.rstrip("/")
    return url.rstrip("/") == whole or url.startswith(whole + "/")


def shown_name(url: str) -> str:
    """Return a URL as messages show it: without its query, which may hold a signature."""
    return url.split("?", 1)[0].split("#", 1)[0][:_MAX_NAME]


def format_of(form: RemoteFiles, name: str, media_type: str) -> FileFormat:
    """Return the format of a file; raises `FileUnreadable`."""
    plain = name.removesuffix(".gz")
    by_name = next((kind for end, kind in _EXTENSIONS.items() if plain.endswith(end)), None)
    kind = form.format or by_name or _MEDIA_TYPES.get(media_type)
    if kind is None:
        detail = "Neither its name nor its media type says NDJSON or CSV. Name the `format`."
        raise FileUnreadable("unknown_format", detail)
    return kind


def is_item_file(name: str, size: int) -> bool:
    """Tell whether an object of a bucket is to be read: empty ones, and those that begin with `_` or `.`, are not."""
    return size > 0 and not name.rsplit("/", 1)[-1].startswith(("_", "."))


def pause_s(attempts: int) -> float:
    """Return the pause before the next attempt, in seconds."""
    return min(_LONGEST_PAUSE_S, 0.25 * 2.0 ** min(attempts, 10))
