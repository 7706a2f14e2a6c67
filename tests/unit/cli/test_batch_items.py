"""`batchyard items` lists the items of a batch, and shows one with its payload."""

import json
from typing import Any

from services.cli.commands.items import ItemStateName
from services.cli.exit_codes import Exit
from services.ingest.http.items import EndedState, UnendedState
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

DONE: dict[str, Any] = {"ordinal": 0, "custom_id": "a", "state": "succeeded", "attempts": 1, "elapsed_ms": 7}
AGAIN: dict[str, Any] = {
    "ordinal": 1,
    "state": "retrying",
    "partition": "x.example",
    "attempts": 2,
    "retry_at": "2026-11-30T06:00:42Z",
    "error": {"code": "busy", "message": "HTTP 503"},
}


def test_the_states_are_those_of_the_server() -> None:
    named = [*UnendedState.__args__, *EndedState.__args__]  # type: ignore[attr-defined]
    assert [each.value for each in ItemStateName] == named


async def test_items_are_listed_page_by_page_as_many_as_are_wanted(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/items", {"items": [DONE], "next": 0}, {"items": [AGAIN], "next": 1})
    ended = await run("items", BATCH, "--limit", "2", "--state", "retrying", "--id", "a")
    assert ended.code == Exit.OK
    text = " ".join(ended.out.split())
    assert "0 a succeeded 1 7 ms" in text
    assert "1 retrying 2 x.example again at 2026-11-30" in text
    assert "after busy: HTTP 503" in text
    assert "--after 1" in ended.err
    first, second = (dict(query) for query in cluster.queries)
    assert first == {"state": "retrying", "custom_id": "a", "after": "-1", "limit": "2"}
    assert (second["after"], second["limit"]) == ("0", "1")


async def test_one_item_is_shown_with_its_payload(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/items/1", {**AGAIN, "payload": {"n": 7}})
    text = " ".join((await run("items", BATCH, "1")).out.split())
    assert 'payload {"n":7}' in text.replace(": ", ":").replace("payload:", "payload ")
    assert "state retrying again at 2026-11-30" in text


async def test_json_is_one_item_a_line(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/items", {"items": [DONE, AGAIN]})
    lines = (await run("items", BATCH, "--json")).out.splitlines()
    assert [json.loads(line) for line in lines] == [DONE, AGAIN]


async def test_a_selection_without_an_item_is_told_so(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/items", {"items": []})
    assert (await run("items", BATCH)).out == "No item fits.\n"
