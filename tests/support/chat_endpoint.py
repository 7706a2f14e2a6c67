"""An OpenAI-compatible chat endpoint on loopback that misbehaves as a project's name says.

A name such as `refusal` or `bad-twice` chooses the behaviour in `_BEHAVIOURS`; any other gets a good answer.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.served_app import served

MODEL = "some-model-2026-01-01"


@dataclass(slots=True)
class ChatEndpoint:
    """HTTP server of the endpoint; `calls` counts by project, `requests` are the received bodies."""

    key: str = "demo"
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def completions(self, request: web.Request) -> web.Response:
        """Answer one completion request."""
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "invalid_api_key", "invalid_request_error")
        asked = await request.json()
        self.requests.append(asked)
        told = json.loads(asked["messages"][1]["content"])
        name = told["project"]["project"]
        self.calls[name] += 1
        if answer := _failure(name, self.calls[name]):
            return answer
        if name == "hang":
            await asyncio.Event().wait()
        if answer := _unusable(name, self.calls[name]):
            return answer
        text = json.dumps(_good(told) | _SENSELESS.get(name, {}))
        return _completion(**_wrapped(name, text))


_BEHAVIOURS: dict[str, tuple[int, str, str, dict[str, str]]] = {
    "limited": (
        429,
        "rate_limit_exceeded",
        "requests",
        {"retry-after-ms": "1500", "x-ratelimit-reset-requests": "6m0s"},
    ),
    "limited-mute": (429, "rate_limit_exceeded", "tokens", {"x-ratelimit-reset-tokens": "6m0s"}),
    "broke": (429, "insufficient_quota", "insufficient_quota", {"Retry-After": "1"}),
    "gone": (404, "model_not_found", "invalid_request_error", {}),
    "forbidden": (403, "unsupported_country", "request_forbidden", {}),
    "context": (400, "context_length_exceeded", "invalid_request_error", {}),
    "schema": (400, "", "invalid_request_error", {}),
    "slow": (503, "slow_down", "server_error", {"Retry-After": "3"}),
    "overloaded": (503, "server_is_overloaded", "server_error", {}),
    "conflict": (409, "", "", {}),
    "error": (500, "", "server_error", {}),
}


_SENSELESS: dict[str, dict[str, Any]] = {
    "past": {"completion_earliest": "2020-01-01"},
    "cheap": {"final_cost_lowest": 1},
    "crossed": {"final_cost_highest": 100},
}


def _wrapped(name: str, text: str) -> dict[str, Any]:
    """Return the fields of the message in which a model wraps its answer, chosen by the name of the project."""
    call = {"id": "c1", "type": "function", "function": {"name": "answer", "arguments": text}}
    wrappings: dict[str, dict[str, Any]] = {
        "fenced": {"content": f"```json\n{text}\n```"},
        "upper": {"content": f"```JSON\n{text}\n```"},
        "think": {"content": f'<think>a {{b}} {{"c": 1}} {text[:40]}</think>\n\n{text}'},
        "prose": {"content": f"Here it is:\n```json\n{text}\n```\nAnything else?"},
        "after": {"content": f"{text}\n\nWith {{braces}} after it."},
        "draft": {"content": f"{text.replace('medium', 'high')}\nNo, rather:\n{text}"},
        "parts": {"content": [{"type": "text", "text": text[:30]}, {"type": "text", "text": text[30:]}]},
        "call": {"content": None, "tool_calls": [call], "finish": "tool_calls"},
        "thoughts": {"content": "", "reasoning_content": f"So: {text}"},
        "cut": {"content": f"{text}\nAnd further", "finish": "length"},
        "more": {"content": json.dumps(json.loads(text) | {"note": "an extra field"})},
    }
    return wrappings.get(name, {"content": text})


def _unusable(name: str, call: int) -> web.Response | None:
    match name.removesuffix("-once") if call == 1 else name:
        case "filter":
            return _completion(None, finish="content_filter")
        case "refusal":
            return _completion(None, refusal="I cannot help with that.")
        case "long":
            return _completion('{"completion_date": "20', finish="length")
        case "bad":
            return _completion('{"completion_date": "soon"}')
        case "html":
            return web.Response(text="<html>login</html>", content_type="text/html")
        case "no-choices":
            return web.json_response({"choices": []})
    return None


def _failure(name: str, call: int) -> web.Response | None:
    once = name.removesuffix("-at-first")
    if once not in _BEHAVIOURS or (once != name and call > 1):
        return None
    status, code, kind, headers = _BEHAVIOURS[once]
    return _error(status, code, kind, "response_format.json_schema" if once == "schema" else None, headers)


def _error(
    status: int, code: str, kind: str, param: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"message": "No.", "type": kind, "param": param, "code": code or None}
    return web.json_response({"error": error}, status=status, headers=headers)


def _good(told: dict[str, Any]) -> dict[str, Any]:
    cost = 2 * told["project"]["actual_cost"][-1]
    return {
        "completion_date": "2030-02-01",
        "completion_earliest": "2030-01-01",
        "completion_latest": "2030-03-01",
        "final_cost": cost,
        "final_cost_lowest": cost * 0.9,
        "final_cost_highest": cost * 1.1,
        "risk": "medium",
        "confidence": "low",
        "reasons": ["CPI 0.83"],
    }


def _completion(content: Any, *, finish: str = "stop", refusal: str | None = None, **more: Any) -> web.Response:
    message = {"role": "assistant", "content": content, "refusal": refusal, **more}
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": None}
    usage = {"prompt_tokens": 400, "completion_tokens": 50, "total_tokens": 450}
    answer = {"id": "chatcmpl-demo", "object": "chat.completion", "created": 1795300000, "model": MODEL}
    return web.json_response({**answer, "choices": [choice], "usage": usage})


@asynccontextmanager
async def chat_endpoint() -> AsyncIterator[ChatEndpoint]:
    """Serve until the context ends."""
    endpoint = ChatEndpoint()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.completions)
    async with served(app, handler_cancellation=True) as url:
        endpoint.url = f"{url}/v1"
        yield endpoint
