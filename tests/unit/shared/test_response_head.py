"""Heads of HTTP responses: their limits, and framing that a recipient may accept."""

import pytest

from shared.http.response_head import (
    MAX_HEAD_BYTES,
    MAX_HEADER_LINES,
    end_of_head,
    is_interim,
    is_too_large,
    may_be_head,
    with_plain_framing,
)

STATUS = b"HTTP/1.1 200 OK"


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([STATUS, *lines, b"", b""])


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_a_head_ends_with_an_empty_line(line_end: bytes) -> None:
    whole = line_end.join([STATUS, b"A: b", b"", b""])
    assert end_of_head(whole + b"body") == len(whole)
    for cut in range(len(whole)):
        assert end_of_head(whole[:cut]) is None
        assert end_of_head(whole, cut) == len(whole), "also when it was searched up to there"


@pytest.mark.parametrize(
    ("lines", "framing"),
    [
        ((b"Content-Length: 7",), [b"Content-Length: 7"]),
        ((b"Content-Length: 7", b"content-length:7"), [b"Content-Length: 7"]),
        ((b"Content-Length: 7, 7",), [b"Content-Length: 7"]),
        ((b"Content-Length: 7", b"Transfer-Encoding: chunked"), [b"Transfer-Encoding: chunked"]),
        ((b"Content-Length: 7", b"Transfer-Encoding: identity"), [b"Content-Length: 7"]),
        ((b"Content-Length: 7", b"Content-Length: 8"), [b"Content-Length: 7", b"Content-Length: 8"]),
        ((b"Content-Length: 7, 8",), [b"Content-Length: 7, 8"]),
    ],
)
def test_the_length_of_a_body_is_stated_once_where_all_statements_agree(
    lines: tuple[bytes, ...], framing: list[bytes]
) -> None:
    plain = with_plain_framing(head(b"X-First: 1", *lines, b"X-Last: 2"))
    left = plain.split(b"\r\n")
    assert [line for line in left[1:-2] if not line.startswith(b"X-")] == framing
    assert [line for line in left if line.startswith(b"X-")] == [b"X-First: 1", b"X-Last: 2"]
    assert (left[0], plain[-4:]) == (STATUS, b"\r\n\r\n")


def test_the_limits_hold_for_all_headers_together() -> None:
    assert not is_too_large(head(*[b"X: v"] * MAX_HEADER_LINES))
    assert is_too_large(head(*[b"X: v"] * (MAX_HEADER_LINES + 1)))
    assert not is_too_large(head(*[b"X: " + b"v" * 600] * 100))
    assert is_too_large(head(*[b"X: " + b"v" * 700] * 100))
    assert is_too_large(b"x" * (MAX_HEAD_BYTES + 1))


@pytest.mark.parametrize(
    ("status", "interim"), [(b"100 Continue", True), (b"103 Hints", True), (b"101 Switch", False), (b"200 OK", False)]
)
def test_an_interim_response_is_told_by_its_status(status: bytes, interim: bool) -> None:
    assert is_interim(b"HTTP/1.1 " + status + b"\r\n\r\n") is interim


def test_the_first_bytes_tell_a_reply_that_is_no_http() -> None:
    assert [may_be_head(start) for start in (b"", b"HT", b"HTTP/1.1 2", b"SSH-2.0", b"<html>")] == [True] * 3 + [
        False
    ] * 2
