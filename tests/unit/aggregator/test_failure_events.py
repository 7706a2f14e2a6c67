"""Tests of failure events: at most a hundred a second of a batch, and none goes uncounted."""

from collections.abc import Sequence

from batchyard_contracts.v1.events import ItemFailed
from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from services.aggregator.domain.failure import Failure, find_failures
from services.aggregator.domain.outcome_rows import outcome_rows
from services.aggregator.domain.report import Report
from services.aggregator.publishing.failure_events import FailureEvents
from shared.messaging.publisher import OutgoingMessage
from tests.support.ledger_messages import at, batch, processed


def failed(ordinals: range) -> list[Failure]:
    """Failures of these items."""
    error = ItemError(code="bad", message="no")
    outcomes = {o: ItemOutcome(ordinal=o, status="failed", error=error, custom_id=f"c{o}") for o in ordinals}
    report = Report.of(processed(outcomes))
    return list(find_failures(report, outcome_rows(report, batch())))


async def test_the_last_failure_event_of_a_second_counts_the_skipped_ones() -> None:
    events: list[ItemFailed] = []

    async def publish(messages: Sequence[OutgoingMessage]) -> None:
        assert not any(message.persistent for message in messages)
        assert {message.routing_key for message in messages} == {"item.failed.v1.noop.ann"}
        events.extend(ItemFailed.decode(message.body) for message in messages)

    failure_events = FailureEvents(publish, clock=lambda: 0.0)
    failure_events.add(batch(), failed(range(50)), at(1))
    failure_events.add(batch(), failed(range(50, 2000)), at(2))
    failure_events.add(batch(header=None, key=2), failed(range(5)), at(2))
    await failure_events.publish_rest()
    assert [event.ordinal for event in events] == [*range(99), 1999]
    assert [event.skipped for event in events] == [*[0] * 99, 1900]
    assert sum(1 + event.skipped for event in events) == 2000
    assert (events[0].custom_id, events[0].partition, events[0].error.code, events[0].round) == ("c0", "p", "bad", 1)
    assert len({event.cause for event in events}) == 1
