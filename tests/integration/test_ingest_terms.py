"""Terms of a batch reach the other services, whether it was submitted over AMQP or HTTP."""

import json
from typing import Any

import pytest

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import Dedup, FailureThreshold, Rate, RetryRule, Reuse, Terms
from devstack import Servers
from tests.support.running_ingest import SQUARES, IngestHarness, running_ingest

TERMS: dict[str, Any] = {
    "weight": 3,
    "rate": {"per_second": 20.0, "burst": 5},
    "concurrency": 40,
    "not_before": "2026-11-20T19:00:00Z",
    "deadline": "2130-11-20T19:00:00Z",
    "failure_threshold": {"count": 100, "codes": {"captcha": 0}},
    "retry": {"timeout": {"attempts": 6, "base_s": 2.0, "cap_s": 60.0}},
}
REUSE: dict[str, Any] = {"cache": "refresh", "dedup": {"mode": "attach", "ttl_s": 60}}


async def check(harness: IngestHarness) -> None:
    (accepted,) = await harness.wait_for(BatchAccepted)
    assert accepted.terms == Terms.model_validate(TERMS)
    assert accepted.terms.rate == Rate(per_second=20, burst=5)
    assert accepted.terms.failure_threshold == FailureThreshold(count=100, codes={"captcha": 0})
    assert accepted.terms.retry == {"timeout": RetryRule(attempts=6, base_s=2, cap_s=60)}
    assert accepted.reuse == Reuse(cache="refresh", dedup=Dedup(ttl_s=60))


async def test_terms_over_amqp_are_announced(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = {"workload": "squares", "items": [{"payload": {"n": 1}}], **TERMS, **REUSE}
        assert isinstance(await harness.command(BatchSubmit.model_validate(command)), CommandAccepted)
        await check(harness)


async def test_terms_over_http_are_announced(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = {"workload": "squares", "items": [{"payload": {"n": 1}}], **TERMS, **REUSE}
        assert (await harness.post("/batches", json=command))[0] == 202
        await check(harness)


async def upload(harness: IngestHarness, options: str) -> tuple[int, Any]:
    return await harness.post(
        "/batches",
        params={"workload": "squares", "options": options},
        data=b'{"n": 1}\n{"n": 2}\n',
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"},
    )


async def test_terms_of_an_upload_are_announced(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        assert (await upload(harness, json.dumps(TERMS | REUSE)))[0] == 202
        await check(harness)
        assert (await upload(harness, json.dumps(TERMS | REUSE)))[1]["replayed"]
        status, problem = await upload(harness, json.dumps(TERMS))
        assert (status, problem["code"]) == (409, "idempotency_conflict"), "other terms are another submission"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"items": []}', "items"),
        ('{"weight": 0}', "weight"),
        ('{"dedup": {"mode": "merge"}}', "dedup"),
        ('{"deadline": "tomorrow"}', "deadline"),
    ],
)
async def test_invalid_options_are_rejected_and_named(clean: Servers, options: str, named: str) -> None:
    async with running_ingest(clean) as harness:
        status, problem = await upload(harness, options)
        assert (400 <= status < 500, named in problem["detail"]) == (True, True), problem


@pytest.mark.parametrize("mode", ["reject", "replace", "attach"])
async def test_items_carry_their_keys_when_they_have_to_claim_them(clean: Servers, mode: str) -> None:
    async with running_ingest(clean) as harness:
        items = [{"payload": {"n": n}} for n in (1, 2, 1)]
        command = {"workload": "squares", "items": items, "dedup": {"mode": mode}}
        assert (await harness.post("/batches", json=command))[0] == 202
        await harness.wait_for(BatchAccepted)
        (page,) = harness.pages
        keys = [item.key for segment in page.segments for item in segment.items]
        assert (len(keys), len(set(keys) - {None})) == (2, 0 if mode == "attach" else 2)


async def test_a_workload_without_a_deduplication_key_cannot_reject_duplicates(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.announce(SQUARES.model_copy(update={"name": "plain", "dedup": None}))
        command = {"workload": "plain", "items": [{"payload": {"n": 1}}], "dedup": {"mode": "reject"}}
        status, problem = await harness.post("/batches", json=command)
        assert (status, problem["code"]) == (422, "no_dedup_key")
