"""Results of a batch become the items of the batch that follows."""

from typing import Any

import pytest

from batchyard_contracts.v1.templates import FollowUpItems
from services.ingest.domain.follow_up_items import FollowUpItemMaker


@pytest.mark.parametrize(
    ("rule", "result", "payloads"),
    [
        ({}, {"n": 1}, [{"n": 1}]),
        ({"pointer": "/records"}, {"records": [{"id": 1}, {"id": 2}]}, [{"id": 1}, {"id": 2}]),
        ({"pointer": "/records/0"}, {"records": [{"id": 1}, {"id": 2}]}, [{"id": 1}]),
        ({"pointer": "/absent"}, {"n": 1}, []),
        ({"pointer": "/n"}, {"n": None}, []),
        (
            {"payload": {"from": "/a/b", "to": "/c", "none": "/x"}},
            {"a": {"b": 1}, "c": None},
            [{"from": 1, "to": None}],
        ),
        ({"pointer": "/l", "payload": {"v": ""}}, {"l": [1, "x"]}, [{"v": 1}, {"v": "x"}]),
        ({"pointer": "/records", "payload": {"id": "/id"}}, {"records": 2}, []),
        ({"pointer": "/l", "payload": {"id": "/id"}}, {"l": [{"id": 1}, {}, 3]}, [{"id": 1}]),
        (
            {"pointer": "/l", "payload": {"id": "/id"}, "constants": {"mode": "fast", "at": [1]}},
            {"l": [{"id": 1}, {"none": 2}]},
            [{"id": 1, "mode": "fast", "at": [1]}],
        ),
        ({"constants": {"mode": "fast"}}, {"n": 1, "mode": "slow"}, [{"n": 1, "mode": "fast"}]),
        ({"constants": {"mode": "fast"}}, 7, [7]),
    ],
)
def test_items_are_made_by_the_rule(rule: dict[str, Any], result: Any, payloads: list[Any]) -> None:
    maker = FollowUpItemMaker(FollowUpItems(parameter="p", **rule))
    assert [item["payload"] for item in maker.items(result)] == payloads
