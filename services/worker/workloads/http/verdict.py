"""Judges an answer by the rule of its call, and keeps the requested part of its body."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.workload import Permanent, WorkloadError
from services.worker.domain.status_errors import error_of
from services.worker.workloads.http.model import Call, CallAnswer, SuccessRule
from services.worker.workloads.http.secrets import without

KEPT_HEADERS = (
    *("age", "cache-control", "content-encoding", "content-language", "content-location", "content-type", "date"),
    *("etag", "expires", "last-modified", "link", "location", "retry-after", "x-request-id"),
)
_DEEPEST = 100
_EXCERPT = 200
_TEXT = frozenset(("json", "xml", "javascript", "x-www-form-urlencoded"))
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252"))


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Received response with the part of its body that was read."""

    status: int
    url: str
    headers: Mapping[str, str]
    """Headers of the response; names ignore case."""
    body: bytes = b""
    whole: bool = True
    media_type: str = ""
    charset: str = ""


def judge(call: Call, reply: HttpResponse, secrets: tuple[str, ...], now: datetime) -> CallAnswer | WorkloadError:
    """Judge a response: return the result or the error of the item."""
    if not call.success.has_status(reply.status):
        said = f"The answer has status {reply.status}.{_excerpt(reply, secrets)}"
        if 300 <= reply.status < 400:
            advice = "Redirects are not followed unless `redirects` allows them."
            return Permanent(f"http_{reply.status}", f"{said} {advice}")
        return error_of(reply.status, reply.headers, said, now, repeatable=call.is_repeatable, access_scope="item")
    if call.success.has_body_condition and (broken := _broken_rule(call.success, reply)):
        code, why = broken
        return Permanent(code, f"{why}{_excerpt(reply, secrets)}")
    return _kept(call, reply, secrets)


def pattern_fault(pattern: str) -> str | None:
    """Return the reason why a pattern cannot be used; None if it can."""
    try:
        _compiled(pattern)
    except (ValueError, jsonschema_rs.ValidationError):
        return "is no regular expression that can be used here: look-around, back references and huge counts cannot"
    return None


def _broken_rule(rule: SuccessRule, reply: HttpResponse) -> tuple[str, str] | None:
    if not reply.whole:
        return "response_too_large", f"The rule needs the whole answer, which has more than {len(reply.body)} bytes."
    found: Any = _text(reply)
    if rule.pointer is not None:
        document = _parsed(reply.body)
        if document is MISSING:
            return "unexpected_answer", "The rule needs JSON, and the answer is none."
        found = CompiledPointer(rule.pointer).find(document)
        if found is MISSING:
            return "unexpected_answer", f"The answer has nothing at {rule.pointer!r}."
        if rule.has_expected_value and not _same(found, rule.equals):
            return "unexpected_answer", f"The value at {rule.pointer!r} is not the one asked for."
    if rule.matches is not None:
        text = found if isinstance(found, str) else json.dumps(found)
        if not _compiled(rule.matches).is_valid(text):
            return "unexpected_answer", f"The answer does not match {rule.matches!r}."
    return None


def _kept(call: Call, reply: HttpResponse, secrets: tuple[str, ...]) -> CallAnswer:
    body = reply.body[: call.keep_bytes]
    truncated = len(body) < len(reply.body) or not reply.whole
    fields: dict[str, Any] = {}
    if body and not truncated and "json" in reply.media_type:
        document = _parsed(without(body.decode("utf-8", "replace"), secrets).encode() if secrets else body)
        if document is not MISSING:
            fields = {"json_body": document, "encoding": "json"}
    if body and not fields:
        fields = _as_text(body, reply, secrets)
    headers = {name: without(reply.headers[name], secrets)[:1000] for name in KEPT_HEADERS if name in reply.headers}
    url = without(reply.url, secrets)
    return CallAnswer(
        status=reply.status, url=url, headers=headers, bytes_kept=len(body), truncated=truncated, **fields
    )


def _as_text(body: bytes, reply: HttpResponse, secrets: tuple[str, ...]) -> dict[str, Any]:
    kind, _, subtype = reply.media_type.partition("/")
    plain = "content-encoding" not in reply.headers and b"\0" not in body
    if plain and (kind in ("", "text") or subtype.rpartition("+")[2] in _TEXT):
        return {"body": without(_decoded(body, reply.charset), secrets), "encoding": "text"}
    return {"body": b64encode(body).decode(), "encoding": "base64"}


def _excerpt(reply: HttpResponse, secrets: tuple[str, ...]) -> str:
    """Return the beginning of the answer on one line. Secrets are removed before the cut, which could split one."""
    kind, _, subtype = reply.media_type.partition("/")
    if not reply.body or (kind != "text" and subtype.rpartition("+")[2] not in _TEXT):
        return ""
    text = " ".join(without(_text(reply), secrets).split()).replace("\0", "")
    return f" It begins: {text[:_EXCERPT]}" if text else ""


def _text(reply: HttpResponse) -> str:
    return _decoded(reply.body, reply.charset)


def _decoded(body: bytes, charset: str) -> str:
    return body.decode(charset if charset in _CHARSETS else "utf-8", "replace")


def _parsed(body: bytes) -> Any:
    """Return the JSON value of a body; `MISSING` when it is no JSON, or nested deeper than a result may be."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return MISSING
    return MISSING if _deeper(document, _DEEPEST) else document


def _deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        inner = [v.values() if isinstance(v, dict) else v for v in layer if isinstance(v, dict | list)]
        if not inner:
            return False
        layer = [value for values in inner for value in values]
    return True


def _same(found: Any, wanted: Any) -> bool:
    """Tell whether two JSON values are equal: 1 equals 1.0, and 1 does not equal true."""
    return bool(jsonschema_rs.validator_for({"const": wanted}).is_valid(found))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """Return a test for texts that contain the pattern. The time of the engine grows with the text only, whatever the
    pattern is: one that backtracks could be made to run for ever."""
    options = jsonschema_rs.RegexOptions(size_limit=1_000_000)
    return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options)
