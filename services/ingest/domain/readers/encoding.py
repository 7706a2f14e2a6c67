"""Encodings of uploaded files: UTF-8, and by its byte-order mark UTF-16 or UTF-32. Anything else is refused."""

import codecs

from services.ingest.domain.rejection import Rejection

_MARK = codecs.BOM_UTF8
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by their mark, the longer marks first: the mark of UTF-16 is the beginning of that of UTF-32."""
_MARK_BYTES = 4
_SAVE_AS_UTF8 = "Save the file as UTF-8, in a spreadsheet as the file type “CSV UTF-8”"


class Utf8Stream:
    """Turns the chunks of a file into UTF-8 without a byte-order mark. `code` is that of its rejections."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._start = b""
        self._is_started = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = "UTF-8"
        self.rejection: Rejection | None = None
        """Reason why the file cannot be read any further; None as long as it can."""

    def feed(self, chunk: bytes, *, final: bool = False) -> bytes:
        """Return the text of a chunk, as far as it is complete."""
        if self._is_started and self._decoder is None:
            return chunk
        if not self._is_started:
            chunk = self._start = self._start + chunk
            if len(chunk) < _MARK_BYTES and not final:
                return b""
            chunk, self._start = self._begin(chunk), b""
        if self._decoder is None:
            return chunk
        try:
            return self._decoder.decode(chunk, final).encode()
        except UnicodeError as error:
            why = error.reason if isinstance(error, UnicodeDecodeError) else "it has characters that do not exist"
            detail = f"The file is not {self._encoding}, as its byte-order mark says: {why}. {_SAVE_AS_UTF8}."
            self.rejection = Rejection(self._code, detail, 400, is_final=True)
            return b""

    def _begin(self, start: bytes) -> bytes:
        self._is_started = True
        for mark, encoding in _WIDE.items():
            if start.startswith(mark):
                self._decoder, self._encoding = codecs.getincrementaldecoder(encoding)(), encoding.upper()
                return start
        if b"\0" in start[:_MARK_BYTES]:
            detail = f"The file has no text: it seems to be UTF-16 without a byte-order mark. {_SAVE_AS_UTF8}."
            self.rejection = Rejection(self._code, detail, 400, is_final=True)
        return start.removeprefix(_MARK)


def not_utf8(line: bytes, error: UnicodeDecodeError, code: str, number: int) -> Rejection:
    """Return the rejection of a line that is not text in UTF-8, by the error of decoding it."""
    column = len(line[: error.start].decode()) + 1
    detail = (
        f"The character {column} of the line has the byte 0x{line[error.start]:02X}, which is not UTF-8. The file may "
        f"be in Windows-1252. {_SAVE_AS_UTF8}, or convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE."
    )
    return Rejection(code, detail, 400, number)
