"""Partitions of items: names from payloads that anybody may send, in time that grows with their length alone."""

from collections.abc import Callable
from urllib.parse import clear_cache  # type: ignore[attr-defined]

import pytest

from batchyard_contracts.partition import MAX_PARTITION, Partitioner
from batchyard_contracts.v1.manifest import Manifest
from tests.support.growth import assert_linear

BY_HOST = Partitioner(
    Manifest.model_validate(
        {
            "name": "fetch",
            "version": "1",
            "item_schema": {},
            "result_schema": {},
            "concurrency": 1,
            "cache_ttl_s": 0,
            "partition": {"pointer": "/url", "by": "host"},
        }
    )
)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User@A.Example:8080/x?y#z", "a.example"),
        ("https://a.example/" + "x" * 100_000, "a.example"),
        ("https://[::1]/", "::1"),
        ("https://[", ""),
        ("no url", ""),
        ("https://" + "x" * 100_000, "x" * MAX_PARTITION),
    ],
)
def test_the_partition_of_a_url_is_its_host(url: str, host: str) -> None:
    assert BY_HOST.partition_of({"url": url}) == host


@pytest.mark.parametrize(
    "url",
    [
        lambda n: "http://a" + "\u0301\u0323" * n,
        lambda n: "http://a" + "@" * n,
        lambda n: "http://" + "[" * n + "]" * n,
        lambda n: "http://a/" + "\u0301\u0323" * n,
        lambda n: "\t\n" * n + "http://a/",
    ],
    ids=["accents", "names", "brackets", "a path", "white space"],
)
def test_hosts_take_time_in_proportion(url: Callable[[int], str]) -> None:
    def work(n: int) -> None:
        clear_cache()
        BY_HOST.partition_of({"url": url(n)})

    assert_linear(work, 4000)
