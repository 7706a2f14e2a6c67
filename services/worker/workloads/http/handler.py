"""The workload `http`: calls any address, and judges the answer by the item's own rule."""

from datetime import UTC, datetime

from batchyard_contracts.v1.manifest import Partition
from batchyard_contracts.v1.values import RetryRule
from batchyard_contracts.workload import Context, Limits, Permanent, Retry, Workload, WorkloadError
from services.worker.workloads.http.caller import Caller, open_caller
from services.worker.workloads.http.model import MAX_REDIRECTS, MAX_TIMEOUT_S, Call, CallAnswer
from services.worker.workloads.http.policy import egress, refusals
from services.worker.workloads.http.secrets import secrets_of
from services.worker.workloads.http.verdict import judge, pattern_fault

workload = Workload(
    "http",
    version="1",
    item=Call,
    result=CallAnswer,
    lifespan=open_caller,
    refusals=refusals,
    egress=egress,
    title="HTTP calls",
    description="Calls any public address: method, headers, body, a rule for success, a bounded answer.",
    partition=Partition(pointer="/url", by="host"),
    limits=Limits(concurrency=100, item_timeout_s=(MAX_REDIRECTS + 1) * MAX_TIMEOUT_S + 5, partition_concurrency=20),
    retry=Retry(
        {"default": RetryRule(attempts=4, base_s=1.0, cap_s=60.0)}, repeatable=lambda call, _: call.is_repeatable
    ),
    example={"url": "https://example.com/", "success": {"statuses": [200]}, "keep_bytes": 1000},
)


@workload.handler
async def run(item: Call, context: Context) -> CallAnswer:
    """Make the call, and judge its answer."""
    caller: Caller = context.resources
    if item.success.matches is not None and (fault := pattern_fault(item.success.matches)):
        raise Permanent("invalid_rule", f"`success.matches` {fault}.")
    secret_headers = caller.secret_headers(item, context.owner)
    reply = await caller.call(item, secret_headers, context.idempotency_key)
    context.report_headers(reply.headers)
    answer = judge(item, reply, secrets_of(item.headers, secret_headers), datetime.now(UTC))
    if isinstance(answer, WorkloadError):
        raise answer
    return answer
