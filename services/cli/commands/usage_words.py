"""Puts what the parser says of a command line into the words of its reader."""

import re

_NAMED = re.compile(r"\{?\w+\}?:<(.+)>")
_WORD = re.compile(r"([\[{]?)(\w+)([\]}]?)")
_PARSER_WORDS = (
    (re.compile(r"is not a valid (?:int range|integer|int)\b"), "is not a whole number"),
    (re.compile(r"is not in the range (\S+?)(\.?)$"), r"is out of range: \1\2"),
    (re.compile(r"\b(-?\d+)<=x<=(-?\d+)"), r"\1 to \2"),
    (re.compile(r"\bx>=(-?\d+)"), r"at least \1"),
    (re.compile(r"\bx<=(-?\d+)"), r"at most \1"),
)


def usage_piece(piece: str) -> str:
    """Return a part of the usage line: `WORKLOAD` for an argument that is required, `[FILE]` for one that is not."""
    if (named := _NAMED.fullmatch(piece)) is not None:
        return f"{{{named[1]}}}"
    if (word := _WORD.fullmatch(piece)) is not None:
        return f"[{word[2].upper()}]" if word[1] == "[" else word[2].upper()
    return piece


def plain_words(text: str) -> str:
    """Return a help text or an error of the parser with bounds and types as words."""
    for pattern, words in _PARSER_WORDS:
        text = pattern.sub(words, text)
    return text
