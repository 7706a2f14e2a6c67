"""Judges an answer of a chat endpoint: a plausible prediction, another call, or the error to raise."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batchyard_contracts.workload import Permanent, Transient, WorkloadError
from batchyard_contracts.workload.rate_limit_headers import pause_s
from services.worker.domain.status_errors import error_of
from services.worker.workloads.predictions.json_search import json_objects
from services.worker.workloads.predictions.model import HUGE, Confidence, Project

_EXHAUSTED = frozenset(("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"))


class ChatPrediction(BaseModel):
    """Answer that the model is asked to write. Every field is required, as strict schemas want it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    completion_date: dt.date | None
    completion_earliest: dt.date | None
    completion_latest: dt.date | None
    final_cost: float | None = Field(ge=0, le=HUGE)
    final_cost_lowest: float | None = Field(ge=0, le=HUGE)
    final_cost_highest: float | None = Field(ge=0, le=HUGE)
    risk: Literal["low", "medium", "high"]
    confidence: Confidence
    reasons: list[str] = Field(max_length=20)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": list(ChatPrediction.model_fields),
    "properties": {
        **{
            name: {"type": ["string", "null"]}
            for name in ("completion_date", "completion_earliest", "completion_latest")
        },
        **{name: {"type": ["number", "null"]} for name in ("final_cost", "final_cost_lowest", "final_cost_highest")},
        "risk": {"type": "string", "enum": ["low", "medium", "high"]},
        "confidence": {"type": "string", "enum": ["low", "medium", "high"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
"""The part of JSON Schema that strict modes know: no bounds, no formats; those are checked here."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The answer cannot be used; one more call may give another. `longer`: that call allows more tokens."""

    why: str
    longer: bool = False


def judge_body(body: bytes, project: Project, status_date: dt.date) -> ChatPrediction | Unusable | WorkloadError:
    """Judge an answer with status 200."""
    try:
        choice = orjson.loads(body)["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        refusal = message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError):
        return Unusable("The answer is no chat completion.")
    if finish == "content_filter" or refusal:
        return Permanent("model_refused", "The model refused to answer, or a filter stopped it.")
    said = next((found for one in json_objects(message) if (found := _prediction(one)) is not None), None)
    if said is None and finish == "length":
        return Unusable("The answer was cut off.", longer=True)
    if said is None:
        return Unusable("The answer is not the JSON that was asked for.")
    fault = _senseless(said, project, status_date)
    return Unusable(fault) if fault else said


def judge_status(status: int, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> WorkloadError:
    """Return the error for a status other than 200."""
    code, kind, param = _error(body)
    said = f"The chat endpoint answered with status {status}{f' ({code or kind})' if code or kind else ''}."
    if status == 429 and _EXHAUSTED & {code, kind}:
        return Permanent("insufficient_quota", f"{said} The account has no credit left.", scope="provider")
    if status == 404:
        return Permanent("model_not_found", f"{said} Check the model's name and the address.", scope="provider")
    if status == 400 and (
        param.startswith("response_format") or code in ("invalid_json_schema", "unsupported_parameter")
    ):
        return Permanent("request_refused", f"{said} BATCHYARD_PREDICTIONS_MODE may help.", scope="provider")
    if status == 409:
        return Transient("http_409", said)
    asked = 500 <= status < 600 and pause_s(headers, now) is not None
    return error_of(503 if asked else status, headers, said, now)


def _error(body: bytes) -> tuple[str, str, str]:
    """Return the code, the type and the parameter of an error; an empty text for each that is missing."""
    try:
        error = orjson.loads(body)["error"]
        code, kind, param = (str(error.get(name) or "")[:100] for name in ("code", "type", "param"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", "", ""
    return code, kind, param


def _prediction(found: dict[str, Any]) -> ChatPrediction | None:
    try:
        return ChatPrediction.model_validate(found)
    except ValidationError:
        return None


def _senseless(said: ChatPrediction, project: Project, status_date: dt.date) -> str | None:
    """Return an implausible value: an end in the past, less than the spent cost, a value outside its own range."""
    dates = (said.completion_earliest, said.completion_date, said.completion_latest)
    costs = (said.final_cost_lowest, said.final_cost, said.final_cost_highest)
    for name, values in (("completion_date", dates), ("final_cost", costs)):
        if name in project.predict and None in values:
            return f"The answer leaves out {name} or its range."
    known_dates, known_costs = [d for d in dates if d], [c for c in costs if c is not None]
    if known_dates != sorted(known_dates) or known_costs != sorted(known_costs):
        return "A value of the answer is outside its own range."
    if not project.is_complete and known_dates and known_dates[0] < status_date:
        return "The answer ends the work in the past."
    if known_costs and known_costs[0] < project.actual_cost[-1] * (1 - 1e-6):
        return "The answer costs less than what was spent."
    return None
