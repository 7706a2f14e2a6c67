"""Recognises the kind of a file by its first bytes, since the server's content type may be wrong."""

from dataclasses import dataclass

NEEDED = 16
"""Number of bytes that suffice to recognise a kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of file that may be a clip."""

    content_type: str
    suffix: str


MP4 = Kind("video/mp4", ".mp4")
QUICKTIME = Kind("video/quicktime", ".mov")
WEBM = Kind("video/webm", ".webm")
GIF = Kind("image/gif", ".gif")
PNG = Kind("image/apng", ".png")
AVI = Kind("video/x-msvideo", ".avi")


def kind_of(start: bytes) -> Kind | None:
    """Recognise the kind of a clip; None for what is no clip: a page with an error, say."""
    if start[4:8] == b"ftyp":
        return QUICKTIME if start[8:12] == b"qt  " else MP4
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return WEBM
    if start.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return AVI
    return None
