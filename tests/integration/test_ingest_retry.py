"""Retries: the queries of ingest, rejections, and the message to the dispatcher."""

from collections.abc import Callable
from typing import Any

import pytest

from batchyard_contracts.v1.commands import BatchControl, CommandAccepted, CommandRejected
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import ItemsQuery, ItemsReply, SelectionQuery, SelectionReply, StoredItem
from devstack import Servers
from tests.integration.test_ingest_steering import aggregator_replies, batch
from tests.support.running_ingest import IngestHarness, running_ingest

PATCH = [{"op": "replace", "path": "/n", "value": 7}]


def services_reply(
    harness: IngestHarness, ordinals: list[int], payload: Callable[[int], dict[str, Any]], part: int = 400
) -> None:
    """Reply like an aggregator with these items, in pages, and like a dispatcher that replies with a part of them."""
    aggregator_replies(harness, "finished")

    def selection(query: SelectionQuery) -> SelectionReply:
        above = [o for o in ordinals if o > query.after]
        page = above[: query.limit]
        return SelectionReply(
            round=3, ordinals=page, next_after=page[-1] if len(above) > len(page) else None, count=len(ordinals)
        )

    def items(query: ItemsQuery) -> ItemsReply:
        here = [StoredItem(ordinal=o, payload=payload(o), custom_id=f"c{o}") for o in query.ordinals if o % 1000 != 13]
        return ItemsReply(items=here[:part], gone=[o for o in query.ordinals if o % 1000 == 13])

    harness.answers |= {SelectionQuery: selection, ItemsQuery: items}


async def test_a_patch_is_previewed_on_every_item(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        ordinals = [*range(0, 24_000, 2), 24_013]
        services_reply(harness, ordinals, lambda o: {"n": o, "url": "https://a.example/x"} if o % 5000 else {"m": o})
        path = f"/batches/{batch_id}/retry"
        patch = [*PATCH, {"op": "replace", "path": "/url", "value": "https://b.example/"}]
        status, preview = await harness.post(path, json={"patch": patch, "dry_run": True})
        assert (status, preview["round"], preview["items"], preview["invalid"]) == (200, 3, 11_995, 6)
        assert preview["samples"][0] == {
            "ordinal": 2,
            "custom_id": "c2",
            "partition": "b.example",
            "before": {"n": 2, "url": "https://a.example/x"},
            "after": {"n": 7, "url": "https://b.example/"},
        }
        assert [(x["ordinal"], x["code"]) for x in preview["invalid_items"]] == [
            *((n, "patch_not_applicable") for n in range(0, 24_000, 5000)),
            (24_013, "item_deleted"),
        ]
        assert "invalid_ordinals" not in preview

        status, rejected = await harness.post(path, json={"patch": patch})
        assert (status, rejected["code"]) == (422, "patch_not_applicable")
        assert "6 of 12001 items" in rejected["detail"]
        assert [each["detail"].partition(":")[0] for each in rejected["errors"]] == [
            *(f"Item {n}" for n in range(0, 24_000, 5000)),
            "Item 24013",
        ]
        assert rejected["error_count"] == 6
        status, accepted = await harness.post(
            path, json={"patch": patch, "skip_invalid": True, "select": {"codes": ["x"]}}
        )
        assert (status, accepted["retried"]) == (202, 11_995)
        (forwarded,) = await harness.wait_for(BatchControlled)
        assert (forwarded.action, forwarded.round, forwarded.patch) == ("retry", 3, patch)
        assert forwarded.except_ordinals == [*range(0, 24_000, 5000), 24_013]
        assert forwarded.select is not None
        assert forwarded.select.codes == ["x"]


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ({"patch": [{"op": "frob", "path": "/n"}]}, 422, "invalid_patch"),
        ({"patch": [{"op": "add", "path": "/n", "value": "x" * 70_000}]}, 422, "invalid_patch"),
        ({"patch": [{"op": "replace", "path": "/n", "value": -1}]}, 422, "patch_not_applicable"),
        ({"patch": [{"op": "replace", "path": "", "value": 3}], "skip_invalid": True}, 409, "nothing_to_retry"),
        ({"patch": PATCH * 101}, 422, "invalid_command"),
        ({"select": {"causes": ["nonsense"]}}, 422, "invalid_command"),
        ({"select": {"cause": ["1-0123456789abcdef"]}}, 422, "invalid_command"),
        ({"selection": {}}, 422, "invalid_command"),
    ],
)
async def test_invalid_retries_are_rejected(clean: Servers, document: dict[str, Any], status: int, code: str) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        services_reply(harness, [4], lambda _: {"n": 1})
        answer = await harness.post(f"/batches/{batch_id}/retry", json=document)
        assert (answer[0], answer[1]["code"]) == (status, code)
        assert harness.all(BatchControlled) == []


async def test_an_empty_selection_and_too_many_invalid_items_are_rejected(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        path = f"/batches/{batch_id}/retry"
        services_reply(harness, [], lambda _: {})
        for document in ({"select": {"codes": ["x"]}}, {"patch": PATCH}, {"dry_run": True}):
            answer = await harness.post(path, json=document)
            assert (answer[0], answer[1]["code"]) == (409, "nothing_to_retry")
        services_reply(harness, list(range(10_002)), lambda _: {"m": 1}, part=1000)
        answer = await harness.post(path, json={"patch": PATCH, "skip_invalid": True})
        assert (answer[0], answer[1]["code"]) == (422, "too_many_invalid")
        stranger = "/batches/0197a5b0-0000-7000-8000-00000000dead/retry"
        assert (await harness.post(stranger, json={"dry_run": True}))[0] == 404


async def test_a_retry_over_amqp_is_forwarded(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch_id = await batch(harness)
        services_reply(harness, [4, 8], lambda o: {"n": o})
        select = {"ordinals": [4, 8]}
        command = BatchControl.model_validate(
            {"batch_id": batch_id, "action": "retry", "select": select, "patch": PATCH}
        )
        accepted = await harness.command(command, message_id="m1")
        assert isinstance(accepted, CommandAccepted)
        assert accepted.retried == 2
        aggregator_replies(harness, "running")
        again = await harness.command(command, message_id="m1")
        assert isinstance(again, CommandAccepted)
        assert again.replayed
        pause = BatchControl.model_validate({"batch_id": batch_id, "action": "pause", "select": select})
        rejected = await harness.command(pause)
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "invalid_command"
