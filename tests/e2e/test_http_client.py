"""The synchronous and the asynchronous HTTP client do the same against the running services."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from batchyard_contracts.http import (
    AsyncHttpClient,
    BatchUnfinished,
    HttpClient,
    HttpProblem,
    NotReachable,
    TaggedBatch,
)
from batchyard_contracts.v1.values import ItemResult, NewItem
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Call]:
    """Call a method of a client by its name, and gather what it yields."""
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    if request.param == "sync":
        with HttpClient(url + "/") as client:

            def by_thread(name: str, /, *arguments: Any, **options: Any) -> Any:
                answer = getattr(client, name)(*arguments, **options)
                return list(answer) if name == "results" else answer

            yield lambda name, /, *arguments, **options: asyncio.to_thread(by_thread, name, *arguments, **options)
    else:
        async with AsyncHttpClient(url) as client_:

            async def by_loop(name: str, /, *arguments: Any, **options: Any) -> Any:
                if name == "results":
                    return [item async for item in client_.results(*arguments, **options)]
                return await getattr(client_, name)(*arguments, **options)

            yield by_loop


async def test_a_batch_is_submitted_waited_for_read_and_retried(call: Call) -> None:
    items = [NewItem(payload={"n": 0}, custom_id="first"), *({"n": n} for n in range(1, 1200)), {"n": 5, "fail": "no"}]
    key = str(uuid4())
    receipt = await call("submit", "noop", items, idempotency_key=key, name="by HTTP", labels={"team": "a"})
    again = await call("submit", "noop", items, idempotency_key=key, name="by HTTP", labels={"team": "a"})
    assert (again.batch_id, again.replayed) == (receipt.batch_id, True)
    state = await call("wait", receipt.batch_id, PATIENCE_S)
    assert (state.result, state.counts.succeeded, state.counts.failed) == ("partial", 1200, 1)
    results: list[ItemResult] = await call("results", receipt.batch_id)
    assert [item.ordinal for item in results] == list(range(1201))
    assert (results[0].custom_id, results[3].result) == ("first", {"n": 9})
    (failed,) = await call("failures", receipt.batch_id)
    assert [item.ordinal for item in await call("results", receipt.batch_id, cause=failed.cause)] == [1200]
    retried = await call("retry", receipt.batch_id, patch=[{"op": "remove", "path": "/fail"}])
    assert retried.retried == 1
    newest = await call("batches", name="BY http", label=["team=a"], limit=1)
    assert [batch.batch_id for batch in newest] == [receipt.batch_id]


async def test_the_end_of_a_batch_is_estimated_before_it_runs_and_forecast_while_it_does(call: Call) -> None:
    items = [{"n": n, "sleep_s": 0.2} for n in range(400)]
    first = await call("submit", "noop", items[:100])
    await call("wait", first.batch_id, PATIENCE_S)
    estimate = await call("estimate", "noop", items, deadline="2100-01-01T00:00:00Z")
    assert (estimate.items, estimate.chance) == (400, 1.0)
    assert estimate.forecast.at <= estimate.forecast.p10 <= estimate.forecast.p50 <= estimate.forecast.p90
    receipt = await call("submit", "noop", [{"n": n, "sleep_s": 1} for n in range(2000)])

    async def is_forecast() -> bool:
        state = await call("batch", receipt.batch_id)
        assert state.percent is not None
        assert state.percent < 100
        return state.forecast is not None and state.forecast.p90 is not None

    await until(is_forecast)
    await call("cancel", receipt.batch_id)
    state = await call("wait", receipt.batch_id, PATIENCE_S)
    assert (state.percent, state.forecast) == (100, None)


async def test_a_batch_is_controlled(call: Call) -> None:
    receipt = await call("submit", "noop", [{"n": n, "sleep_s": 5} for n in range(300)], priority="low")
    await call("pause", receipt.batch_id)
    await call("change", receipt.batch_id, priority="normal", rate={"per_second": 5, "burst": 1})
    await call("resume", receipt.batch_id)
    with pytest.raises(BatchUnfinished):
        await call("wait", receipt.batch_id, 0)
    await call("cancel", receipt.batch_id)
    state = await call("wait", receipt.batch_id, PATIENCE_S)
    assert (state.result, state.priority, state.terms.rate.per_second) == ("cancelled", "normal", 5)


async def test_a_change_depends_on_the_state_that_was_read(call: Call) -> None:
    receipt = await call("submit", "noop", [{"n": n, "sleep_s": 5} for n in range(50)])
    read = await _settled(call, receipt.batch_id)
    await call("change", receipt.batch_id, weight=2, if_match=read.tag)
    with pytest.raises(HttpProblem) as refused:
        await call("cancel", receipt.batch_id, if_match=read.tag)
    assert (refused.value.status, refused.value.code) == (412, "precondition_failed")
    changed = await until(lambda: _settled(call, receipt.batch_id), lambda found: found.state.terms.weight == 2)
    await call("cancel", receipt.batch_id, if_match=changed.tag)
    assert (await call("wait", receipt.batch_id, PATIENCE_S)).result == "cancelled"
    ended = await _settled(call, receipt.batch_id)
    assert await call("tagged_batch", receipt.batch_id, unless=ended.tag) is None


async def _settled(call: Call, batch_id: UUID) -> TaggedBatch:
    """The state of a batch with its tag."""
    found = await call("tagged_batch", batch_id)
    assert isinstance(found, TaggedBatch)
    return found


async def test_the_deliveries_of_a_batch_are_told(call: Call, cluster: Cluster) -> None:
    notify = {"webhooks": [cluster.webhooks.url + "?token=t0ken"], "emails": ["ann@example.test"]}
    receipt = await call("submit", "noop", [{"n": 1}, {"n": 2, "fail": "no"}], notify=notify)
    assert (await call("wait", receipt.batch_id, PATIENCE_S)).result == "partial"
    hook, mail = await until(
        lambda: call("deliveries", receipt.batch_id),
        lambda found: [each.state for each in found] == ["delivered"] * 2,
    )
    assert (hook.kind, hook.target, hook.status) == ("webhook", cluster.webhooks.url + "?…", 204)
    assert (mail.kind, mail.target, mail.attempts) == ("email", "ann@example.test", 1)
    assert await cluster.client.deliveries(receipt.batch_id) == [hook, mail]
    (letter,) = [each for each in cluster.mailbox.letters if str(receipt.batch_id) in str(each.message)]
    part = letter.message.get_body(("plain",))
    assert part is not None
    text = part.get_content()
    (failed,) = await call("failures", receipt.batch_id)
    assert f"1 item, {failed.code}" in text
    assert f"/api/v1/batches/{receipt.batch_id}" in text


async def test_the_platform_is_shown(call: Call) -> None:
    assert "noop" in [workload["name"] for workload in await call("workloads")]
    assert len(await call("workers")) >= 1


async def test_a_refusal_has_its_code_and_line(call: Call) -> None:
    with pytest.raises(HttpProblem) as refused:
        await call("submit", "noop", [{"n": 1}, {"n": "x"}])
    assert (refused.value.status, refused.value.code, refused.value.line) == (422, "invalid_item", 2)
    assert [error.pointer for error in refused.value.errors] == ["/items/1/payload/n"]
    with pytest.raises(HttpProblem) as missing:
        await call("batch", uuid4())
    assert (missing.value.status, missing.value.code) == (404, "batch_not_found")


async def test_a_server_that_is_not_there_is_said_so(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with HttpClient(url) as client, pytest.raises(NotReachable):
        client.workers()
    async with AsyncHttpClient(url, token="t0ken") as client_:
        with pytest.raises(NotReachable):
            await client_.workers()


@pytest.mark.parametrize("order", ["ordinal", "completion"])
async def test_results_are_followed_until_the_end(call: Call, order: str) -> None:
    items = [{"n": n, "sleep_s": 0.05} for n in range(300)]
    receipt = await call("submit", "noop", [*items, {"n": 300, "fail": "no"}])
    found: list[ItemResult] = await call("results", receipt.batch_id, follow=True, order=order)
    assert sorted(item.ordinal for item in found) == list(range(301))
    if order == "ordinal":
        assert [item.ordinal for item in found] == list(range(301))
    rest: list[ItemResult] = await call("results", receipt.batch_id, cursor=found[250].cursor)
    assert rest == found[251:]
    assert (await call("batch", receipt.batch_id)).status == "finished"
