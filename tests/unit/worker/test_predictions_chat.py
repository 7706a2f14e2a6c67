"""Predictions by a chat endpoint, over real HTTP: what is asked, and what becomes of each way to answer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from pydantic import ValidationError

from batchyard_contracts.workload import Context, Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.predictions import workload
from services.worker.workloads.predictions.chat import Chat, open_chat
from services.worker.workloads.predictions.chat_answer import SCHEMA, ChatPrediction
from services.worker.workloads.predictions.model import Prediction, Project
from services.worker.workloads.predictions.settings import PREFIX, PredictionsSettings
from tests.support.chat_endpoint import MODEL, ChatEndpoint, chat_endpoint
from tests.support.spending_limit import SpendingLimit


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatEndpoint]:
    async with chat_endpoint() as running:
        settings = {"PROVIDER": "chat", "URL": running.url, "KEY": running.key, "MODEL": "some-model"}
        prices = {"PRICE_PROMPT": "2", "PRICE_COMPLETION": "10", "TIMEOUT_S": "0.5"}
        for name, value in {**settings, **prices}.items():
            monkeypatch.setenv(PREFIX + name, value)
        yield running


async def predict(chat: Chat | None, name: str, *, attempt: int = 1, **fields: Any) -> Prediction:
    item = Project.model_validate({**workload.manifest.example, "project": name, **fields})
    context = Context(batch_id=UUID(int=1), ordinal=0, round=1, attempt=attempt, partition="", resources=chat)
    made = await workload.run(item, context)
    assert isinstance(made, Prediction)
    return made


@asynccontextmanager
async def opened() -> AsyncIterator[Chat]:
    async with open_chat() as chat:
        assert chat is not None
        yield chat


async def test_a_good_answer_beside_what_was_computed(endpoint: ChatEndpoint) -> None:
    async with opened() as chat:
        made = await predict(chat, "Bridge 7")
    assert (made.provider, made.model) == ("chat", MODEL)
    assert made.final_cost is not None
    assert (made.final_cost.value, made.final_cost.lowest) == (120, 108)
    assert made.final_cost.by_method["cpi"] == pytest.approx(120)
    assert made.usage.model_dump() == {
        "calls": 1,
        "prompt_tokens": 400,
        "completion_tokens": 50,
        "cost": pytest.approx(0.0013),
    }
    (asked,) = endpoint.requests
    assert (asked["model"], asked["max_completion_tokens"]) == ("some-model", 1000)
    wanted = asked["response_format"]["json_schema"]
    assert (wanted["strict"], wanted["schema"]) == (True, SCHEMA)
    told = json.loads(asked["messages"][1]["content"])
    assert told["computed"]["indices"]["cpi"] == pytest.approx(5 / 6)
    assert told["status_date"] == "2026-05-01"


def test_the_schema_keeps_to_what_strict_modes_know() -> None:
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(ChatPrediction.model_fields)
    assert SCHEMA["additionalProperties"] is False
    jsonschema_rs.validator_for(SCHEMA)


async def test_servers_that_know_no_schema(endpoint: ChatEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}MODE", "json_object")
    monkeypatch.setenv(f"{PREFIX}MAX_TOKENS_NAME", "max_tokens")
    async with opened() as chat:
        assert (await predict(chat, "fenced", predict=["risk"])).final_cost is None
    (asked,) = endpoint.requests
    assert (asked["response_format"], asked["max_tokens"]) == ({"type": "json_object"}, 1000)


@pytest.mark.parametrize(
    "name", ["upper", "think", "prose", "after", "draft", "parts", "call", "thoughts", "cut", "more"]
)
async def test_an_answer_is_found_wherever_a_model_writes_it(name: str, endpoint: ChatEndpoint) -> None:
    async with opened() as chat:
        made = await predict(chat, name)
    assert made.usage.calls == 1
    assert made.risk is not None
    assert made.risk.level == "medium"


async def test_the_formulas_take_the_place_of_an_endpoint_that_is_away(
    endpoint: ChatEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}FALLBACK", "true")
    async with opened() as chat:
        for name, code in (("broke", "insufficient_quota"), ("gone", "model_not_found")):
            made = await predict(chat, name)
            assert (made.provider, made.fallback, made.usage.calls) == ("embedded", code, 0)
        with pytest.raises(Transient):
            await predict(chat, "error")
        assert (await predict(chat, "error", attempt=2)).fallback == "http_500"
        for name in ("limited", "refusal"):
            with pytest.raises(WorkloadError):
                await predict(chat, name, attempt=2)
        assert (await predict(chat, "good")).fallback is None


async def test_no_call_is_made_beyond_the_limit_of_a_batch(endpoint: ChatEndpoint) -> None:
    async with opened() as chat:
        limited = replace(chat, spending=SpendingLimit(0.02))  # type: ignore[arg-type]
        made = await predict(limited, "first")
        assert made.usage.cost == pytest.approx(0.0013)
        limited.spending.most = 0.01  # type: ignore[union-attr]
        with pytest.raises(Permanent) as caught:
            await predict(limited, "second")
        assert (caught.value.code, endpoint.calls["second"]) == ("over_budget", 0)
        free = replace(limited, settings=limited.settings.model_copy(update={"fallback": True}))
        assert (await predict(free, "second")).fallback == "over_budget"
        assert endpoint.calls["second"] == 0


@pytest.mark.parametrize("name", ["bad-once", "long-once"])
async def test_one_unusable_answer_is_asked_for_again(name: str, endpoint: ChatEndpoint) -> None:
    async with opened() as chat:
        made = await predict(chat, name)
    assert (made.usage.calls, made.usage.prompt_tokens) == (2, 800)
    assert [asked["max_completion_tokens"] for asked in endpoint.requests] == [
        1000,
        2000 if name == "long-once" else 1000,
    ]


@pytest.mark.parametrize(
    ("name", "kind", "code", "scope", "calls"),
    [
        ("bad", Permanent, "invalid_response", "item", 2),
        ("html", Permanent, "invalid_response", "item", 2),
        ("no-choices", Permanent, "invalid_response", "item", 2),
        ("past", Permanent, "invalid_response", "item", 2),
        ("cheap", Permanent, "invalid_response", "item", 2),
        ("crossed", Permanent, "invalid_response", "item", 2),
        ("long", Permanent, "answer_too_long", "item", 2),
        ("refusal", Permanent, "model_refused", "item", 1),
        ("filter", Permanent, "model_refused", "item", 1),
        ("broke", Permanent, "insufficient_quota", "provider", 1),
        ("gone", Permanent, "model_not_found", "provider", 1),
        ("forbidden", Permanent, "http_403", "provider", 1),
        ("schema", Permanent, "request_refused", "provider", 1),
        ("context", Permanent, "http_400", "item", 1),
        ("conflict", Transient, "http_409", "item", 1),
        ("error", Transient, "http_500", "item", 1),
        ("overloaded", Transient, "http_503", "item", 1),
        ("hang", Transient, "timeout", "item", 1),
    ],
)
async def test_a_failure_has_the_code_of_its_cause(
    name: str, kind: type[WorkloadError], code: str, scope: str, calls: int, endpoint: ChatEndpoint
) -> None:
    async with opened() as chat:
        with pytest.raises(WorkloadError) as caught:
            await predict(chat, name)
    assert (type(caught.value), caught.value.code, caught.value.scope) == (kind, code, scope)
    assert endpoint.calls[name] == calls
    assert endpoint.key not in caught.value.message


@pytest.mark.parametrize(("name", "delay_s"), [("limited", 1.5), ("limited-mute", None), ("slow", 3.0)])
async def test_a_rate_limit_has_the_pause_that_the_server_stated(
    name: str, delay_s: float | None, endpoint: ChatEndpoint
) -> None:
    async with opened() as chat:
        with pytest.raises(RateLimited) as caught:
            await predict(chat, name)
    assert caught.value.delay_s == delay_s


async def test_a_wrong_key_and_a_server_that_is_away(endpoint: ChatEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.key = "another"
    async with opened() as chat:
        with pytest.raises(Permanent) as refused:
            await predict(chat, "p")
    assert (refused.value.code, refused.value.scope) == ("http_401", "provider")
    monkeypatch.setenv(f"{PREFIX}URL", "http://127.0.0.1:1/v1")
    async with opened() as chat:
        with pytest.raises(Transient) as away:
            await predict(chat, "p")
    assert away.value.code == "unreachable"


def test_the_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workload.announcement().unavailable is None
    monkeypatch.setenv(f"{PREFIX}PROVIDER", "chat")
    assert "BATCHYARD_PREDICTIONS_URL and BATCHYARD_PREDICTIONS_MODEL are" in (
        workload.announcement().unavailable or ""
    )
    monkeypatch.setenv(f"{PREFIX}URL", "https://api.example.com/v1/")
    monkeypatch.setenv(f"{PREFIX}MODEL", "m")
    assert "BATCHYARD_PREDICTIONS_KEY is not set" in (workload.announcement().unavailable or "")
    monkeypatch.setenv(f"{PREFIX}URL", "http://ollama:11434/v1")
    assert workload.announcement().unavailable is None
    monkeypatch.setenv(f"{PREFIX}URL", "api.example.com")
    with pytest.raises(ValidationError):
        PredictionsSettings()


def test_another_model_makes_another_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [workload.announcement().version]
    for name, value in (("PROVIDER", "chat"), ("URL", "https://a.example/v1"), ("MODEL", "m"), ("MODEL", "n")):
        monkeypatch.setenv(f"{PREFIX}{name}", value)
        versions.append(workload.announcement().version)
    assert versions[0] == "1"
    assert len(set(versions)) == len(versions)
