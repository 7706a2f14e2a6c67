"""A submission is checked by the rules for batches, and nothing of it is stored."""

from typing import Any

from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

GOOD = {"payload": {"n": 1}}


async def check(harness: IngestHarness, **fields: Any) -> dict[str, Any]:
    status, found = await harness.post("/batch-check", json={"workload": "squares", **fields})
    assert status == 200, found
    assert isinstance(found, dict)
    return found


async def test_a_good_batch_is_acceptable_and_is_not_stored(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        found = await check(harness, items=[GOOD, GOOD, {"payload": {"n": 2}}])
        assert (found["acceptable"], found["items"], found["valid"]) == (True, 3, 3)
        assert (found["errors"], found["problems"], found["whole"]) == ([], [], True)
        assert await harness.rows("SELECT * FROM batches") == []
        assert harness.flow == []


async def test_wrong_items_are_listed_with_their_places(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        items = [GOOD, {"payload": {"n": "two"}}, *([{"payload": {}}] * 150)]
        found = await check(harness, items=items)
        assert (found["acceptable"], found["items"], found["valid"]) == (False, 152, 1)
        assert (found["error_count"], len(found["errors"])) == (151, 100)
        assert (found["errors"][0]["line"], found["errors"][0]["pointer"]) == (2, "/items/1/payload/n")


async def test_a_file_is_checked_to_its_end(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        body = '{"n": 1}\n{"n": "two"}\nno JSON\n{"n": 1}\n'
        headers = {"Content-Type": "application/x-ndjson"}
        status, found = await harness.post("/batch-check?workload=squares", data=body, headers=headers)
        assert status == 200
        assert (found["items"], found["valid"], [one["line"] for one in found["errors"]]) == (4, 2, [2, 3])
        assert await harness.rows("SELECT * FROM batches") == []
        status, found = await harness.post(
            "/batch-check?workload=squares", data="n\n1\n", headers={"Content-Type": "text/csv"}
        )
        assert (status, found["acceptable"], found["items"]) == (200, True, 1)
        status, problem = await harness.post("/batch-check", data="n\n1\n", headers={"Content-Type": "text/csv"})
        assert (status, problem["code"]) == (422, "invalid_request")


async def test_reasons_against_the_whole_batch_are_named(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        found = await check(harness, items=[], deadline="2020-01-01T00:00:00Z")
        assert {problem["code"] for problem in found["problems"]} == {"no_items", "deadline_passed"}
        found = await check(harness, source={"a": 1})
        assert [problem["code"] for problem in found["problems"]] == ["no_source"]
        status, problem = await harness.post("/batch-check", json={"workload": "absent", "items": [GOOD]})
        assert (status, problem["code"]) == (422, "unknown_workload")


async def test_the_limit_on_waiting_items_counts(clean: Servers) -> None:
    async with running_ingest(clean, max_waiting_per_owner=10_000) as harness:
        await harness.post("/batches", json={"workload": "squares", "items": [GOOD] * 9_999})
        found = await check(harness, items=[GOOD] * 3)
        assert not found["acceptable"]
        assert len(found["problems"]) == 1
