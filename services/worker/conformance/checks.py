"""The conformance checks in their order; each may use the findings of the previous ones."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import jsonschema_rs

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.flow import ItemOutcome
from services.worker.conformance.bench import GRACE_S, Bench
from services.worker.conformance.variants import not_items, variants
from services.worker.summaries.reduction import SummaryFailed, summary_of

CheckStatus = Literal["passed", "failed", "skipped"]
_QUICK_S = 0.02
"""Duration below which an item cannot be interrupted while it runs."""
_LAG_S = 0.25
"""Longest time that a handler may block the event loop."""
_ODD_S = 10.0
"""Timeout of an odd item."""
_UNFORESEEN = {"internal_error", "process_died", "invalid_result", "wrong_answers"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, with its explanation."""

    check: str
    mark: CheckStatus
    detail: str


@dataclass(slots=True)
class CheckContext:
    """The workload and item under test, and what earlier checks found."""

    bench: Bench
    item: dict[str, Any]
    took_s: float = 0.0
    lag_s: float = 0.0
    first: ItemOutcome | None = None
    sound: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    """Items that succeeded, with their results."""

    @property
    def ran(self) -> bool:
        """True when the example succeeded or continued."""
        return self.first is not None and self.first.status in {"succeeded", "continued"}


Finding = tuple[CheckStatus, str]
Check = Callable[[CheckContext], Awaitable[Finding]]


async def manifest(context: CheckContext) -> Finding:
    """Check that the manifest is complete and its example valid."""
    announced = context.bench.workload.manifest
    missing = [name for name in ("description", "example") if not getattr(announced, name)]
    if missing:
        return "failed", f"The workload has no {' and no '.join(missing)}: users see both before they submit."
    try:
        wrong = next(jsonschema_rs.validator_for(announced.item_schema).iter_errors(announced.example), None)
        jsonschema_rs.validator_for(announced.result_schema)
    except ValueError as error:
        return "failed", f"A schema of its models is not valid: {error}"
    if wrong:
        return "failed", f"The example does not fit the schema of its items: {wrong.message}"
    pointers = {"partition": announced.partition.pointer if announced.partition else None, "dedup": announced.dedup}
    for name, pointer in pointers.items():
        if pointer is None or _is_optional(announced.item_schema, pointer):
            continue
        if CompiledPointer(pointer).find(announced.example) is MISSING:
            return "failed", f"{name} points to {pointer!r}, which the example does not have."
    return "passed", "complete, and the example is valid"


async def example(context: CheckContext) -> Finding:
    """Check that the example runs."""
    context.first, context.took_s, context.lag_s = await context.bench.run_watched(context.item)
    if not context.ran:
        return "failed", f"The item ended as {_describe(context.first)}. Give one that works with --item."
    return "passed", f"{context.first.status} in {context.took_s:.3f} s"


async def result(context: CheckContext) -> Finding:
    """Check that the example's result fits the result schema."""
    if context.first is None or context.first.status != "succeeded":
        return "skipped", "the item did not come to a result"
    schema = context.bench.workload.manifest.result_schema
    if wrong := next(jsonschema_rs.validator_for(schema).iter_errors(context.first.result), None):
        return "failed", f"The result does not fit its schema at {wrong.instance_path or '/'}: {wrong.message}"
    return "passed", "JSON that fits its schema"


async def event_loop(context: CheckContext) -> Finding:
    """Check that the handler does not block the event loop."""
    if context.bench.workload.handler_definition.place != "loop":
        return "passed", f"runs in a {context.bench.workload.handler_definition.place} of its own"
    if context.lag_s > _LAG_S:
        advice = "Write it as a plain `def`, or with cpu_bound=True."
        return "failed", f"The handler kept the event loop for {context.lag_s:.2f} s without an await. {advice}"
    return "passed", "leaves the event loop to others"


async def redelivery(context: CheckContext) -> Finding:
    """Check that a second run gives the same outcome: a worker may die between the work and its report."""
    if context.first is None or not context.ran:
        return "skipped", "the item did not come to a result"
    if not context.bench.workload.manifest.repeatable:
        return "skipped", "it has runs that are never repeated by themselves"
    (again,) = await context.bench.run([context.item])
    before = (context.first.status, context.first.result, context.first.state)
    if (again.status, again.result, again.state) != before:
        was, now = _result_or_error(context.first), _result_or_error(again)
        advice = "Derive what is random or new from context.idempotency_key."
        return "failed", f"Run twice under the same idempotency key it gave {was}, then {now}. {advice}"
    return "passed", "the same outcome when run twice under one idempotency key"


async def bad_items(context: CheckContext) -> Finding:
    """Check that odd items end with an error that the workload foresaw."""
    payloads = [*not_items(context.item), *variants(context.item)]
    for payload in payloads:
        (outcome,) = await context.bench.run([payload], min(_ODD_S, context.bench.workload.manifest.item_timeout_s))
        if outcome.status == "succeeded":
            context.sound.append((payload, outcome.result))
        elif outcome.error and outcome.error.code in _UNFORESEEN:
            advice = "Let the item's model refuse it, or raise Permanent with a code of your own."
            return "failed", f"The item {_short(payload)} ended as {_describe(outcome)}. {advice}"
    return "passed", f"{len(payloads)} odd items ended cleanly"


async def chunk(context: CheckContext) -> Finding:
    """Check that each item of a chunk gets its own result."""
    if context.first is None or context.first.status != "succeeded":
        return "skipped", "the item did not come to a result"
    known = [(context.item, context.first.result), *context.sound]
    sent = [(None, None), *reversed(known[:5]), (None, None), known[0]]
    outcomes = await context.bench.run([payload for payload, _ in sent])
    for outcome, (payload, expected) in zip(outcomes, sent, strict=True):
        if payload is None:
            if outcome.status != "failed":
                return "failed", f"A bad item among good ones ended as {_describe(outcome)}."
        elif outcome.status != "succeeded":
            return "failed", f"The item {_short(payload)}, good when alone, ended in a chunk as {_describe(outcome)}."
        elif outcome.result != expected:
            return (
                "failed",
                f"The item {_short(payload)} has another result in a chunk than alone: {_result_or_error(outcome)}.",
            )
    return "passed", f"each of {len(sent)} items in a chunk had its own answer"


async def summary(context: CheckContext) -> Finding:
    """Check that a summary of the results can be made, and is the same when made again."""
    workload = context.bench.workload
    if workload.summary_definition is None:
        return "skipped", "the workload has no summary"
    if context.first is None or context.first.status != "succeeded":
        return "skipped", "the item did not come to a result"
    results = [context.first.result, *(result for _, result in context.sound)]
    try:
        made, again = await asyncio.to_thread(lambda: [summary_of(workload, results) for _ in range(2)])
    except SummaryFailed as reason:
        return "failed", str(reason)
    if made != again:
        return "failed", f"Made twice of the same results it was {_short(made)}, then {_short(again)}."
    if wrong := next(jsonschema_rs.validator_for(workload.manifest.summary_schema or {}).iter_errors(made), None):
        return "failed", f"The summary does not fit its schema at {wrong.instance_path or '/'}: {wrong.message}"
    return "passed", f"the same when made twice of {len(results)} results"


async def questions(context: CheckContext) -> Finding:
    """Check that each question answers its example."""
    announced = context.bench.workload.manifest.questions
    if not announced:
        return "skipped", "the workload has no question"
    for name, question in announced.items():
        if not question.description or not question.example:
            return "failed", f"The question {name} lacks a description or an example: users see both before they ask."
        reply = await context.bench.ask(name, question.example)
        if reply.error:
            return "failed", f"The example of the question {name} ended as {reply.error.code}: {reply.error.message}"
    return "passed", f"{len(announced)} answered their examples"


async def cancel(context: CheckContext) -> Finding:
    """Check that the handler ends when its batch is cancelled."""
    return await _interrupted(context, cancel=True)


async def timeout(context: CheckContext) -> Finding:
    """Check that the handler ends at its timeout."""
    return await _interrupted(context, cancel=False)


async def _interrupted(context: CheckContext, *, cancel: bool) -> Finding:
    if not context.ran:
        return "skipped", "the item did not run"
    if context.took_s < _QUICK_S:
        return "skipped", f"the item ends within {_QUICK_S:g} s: give one that takes longer with --item"
    outcome, ended = await context.bench.interrupt(context.item, context.took_s / 2, cancel=cancel)
    if not ended:
        what = "it was cancelled" if cancel else "its time was up"
        advice = {
            "thread": "In a thread, look at context.is_stopping between two steps.",
            "loop": "Let asyncio.CancelledError pass.",
        }.get(context.bench.workload.handler_definition.place, "")
        return "failed", f"The handler went on for more than {GRACE_S:g} s after {what}. {advice}".rstrip()
    if outcome.status in {"succeeded", "continued"}:
        return "passed", "it came to its end before the interruption took hold"
    return "passed", "ends when its batch is cancelled" if cancel else "ends when its time is up"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("manifest", manifest),
    ("example", example),
    ("result", result),
    ("event loop", event_loop),
    ("redelivery", redelivery),
    ("bad items", bad_items),
    ("chunk", chunk),
    ("summary", summary),
    ("questions", questions),
    ("cancel", cancel),
    ("timeout", timeout),
)


async def check(bench: Bench, item: dict[str, Any] | None) -> list[CheckResult]:
    """Run all checks on a workload, with this item or with its example."""
    context = CheckContext(bench, bench.workload.manifest.example if item is None else item)
    return [CheckResult(name, *await one(context)) for name, one in CHECKS]


def _is_optional(item_schema: dict[str, Any], pointer: str) -> bool:
    """True if items may lack the property that a pointer begins with, so that the example may, too."""
    name = pointer.removeprefix("/").partition("/")[0].replace("~1", "/").replace("~0", "~")
    return name in item_schema.get("properties", {}) and name not in item_schema.get("required", ())


def _describe(outcome: ItemOutcome) -> str:
    return f"{outcome.status} ({outcome.error.code}: {outcome.error.message})" if outcome.error else outcome.status


def _result_or_error(outcome: ItemOutcome) -> str:
    return _short(outcome.result) if outcome.status == "succeeded" else _describe(outcome)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"
