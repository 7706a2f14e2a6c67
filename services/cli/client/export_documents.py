"""Documents of the server on exports: the fields that are used."""

import msgspec


class ExportedFile(msgspec.Struct, frozen=True):
    """A file of an export."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Export(msgspec.Struct, frozen=True):
    """An export, and how far it is."""

    id: str
    state: str
    format: str
    rows: int
    parts: list[ExportedFile]
    complete: bool | None = None
    manifest_sha256: str | None = None
    error: str | None = None
