"""A worker ends the items of chunks that it received, and no others; ledger and dispatcher believe the same reports."""

from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.lease_token import LeaseTokens
from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from services.aggregator.handlers.leased_reports import LeasedReportDecoder
from services.dispatcher.outcomes.leased_reports import LeasedReportDecoder as DispatcherDecoder
from shared.runtime.errors import MessageRejected

TOKENS = LeaseTokens(["k" * 32])
FIELDS: dict[str, Any] = {"chunk_id": "018f7e00-0000-7000-8000-000000000001", "fence": 1, "owner": "ann"}
FIELDS |= {
    "batch_id": "018f7e00-0000-7000-8000-000000000002",
    "workload": "w",
    "partition": "",
    "round": 1,
    "attempt": 1,
}


def report(*ordinals: int, status: str = "succeeded", **fields: Any) -> ChunkProcessed:
    """Return a report on these items, with the token of a chunk with the items 0 to 9 unless another one is given."""
    outcomes = [ItemOutcome.model_validate({"ordinal": ordinal, "status": status}) for ordinal in ordinals]
    made = ChunkProcessed.model_validate(FIELDS | {"worker_id": "x", "outcomes": outcomes})
    return made.model_copy(update={"lease": TOKENS.issue(made, range(10))} | fields)


def test_a_report_with_its_token_is_believed() -> None:
    for sent in (report(0, 9), report(3, status="retry"), report(0, 1, ended=2)):
        assert [o.ordinal for o in LeasedReportDecoder(TOKENS).decode(sent.encode()).outcomes] == [
            o.ordinal for o in sent.outcomes
        ]
        assert DispatcherDecoder(TOKENS).decode(sent.encode()).count == len(sent.outcomes)


def test_outcomes_of_items_of_other_chunks_are_left_out() -> None:
    assert [o.ordinal for o in LeasedReportDecoder(TOKENS).decode(report(9, 10, 2).encode()).outcomes] == [9, 2]


FORGED: dict[str, dict[str, Any]] = {
    "none": {"lease": None},
    "nonsense": {"lease": "0-9.AAAA"},
    "that of another fence": {"fence": 2},
    "that of another batch": {"batch_id": UUID(FIELDS["chunk_id"])},
    "that of another round": {"round": 2},
}


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("status", ["succeeded", "retry"])
def test_a_report_without_its_token_is_refused_by_both(changed: dict[str, Any], status: str) -> None:
    body = report(0, status=status, **changed).encode()
    for decoder in (LeasedReportDecoder(TOKENS), DispatcherDecoder(TOKENS)):
        with pytest.raises(MessageRejected, match="no valid lease token"):
            decoder.decode(body)


def test_without_a_key_every_report_is_believed() -> None:
    none = LeaseTokens([])
    assert len(LeasedReportDecoder(none).decode(report(50, lease=None).encode()).outcomes) == 1
    assert DispatcherDecoder(none).decode(report(50, lease=None).encode()).count == 1
