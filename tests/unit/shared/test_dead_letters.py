"""Dead letters keep the whole reason; the log has none of the data that a reason quotes."""

from collections.abc import Sequence
from typing import cast

from structlog.testing import capture_logs

from batchyard_contracts.message import Envelope
from batchyard_contracts.topology import AGGREGATOR_OUTCOMES, INGEST_COMMANDS
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from shared.messaging.dead_letters import MAX_LINES, REASON, DeadLetters
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import OutgoingMessage, Publisher

LETTER = Delivery(b"{}", Envelope("batch.submit.v1", "1"))


class Published:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.messages += messages


async def test_the_log_names_the_kind_of_a_reason_and_the_dead_letter_all_of_it() -> None:
    reason = str(IngestError(Rejection("invalid_item", '/mail: "ann@example.org" is not a number', line=3)))
    published = Published()
    with capture_logs() as logged:
        await DeadLetters(cast("Publisher", published)).add(INGEST_COMMANDS, LETTER, reason)
    assert "ann@example.org" in str(published.messages[0].headers[REASON])
    assert [entry["reason"] for entry in logged] == ["invalid_item (line 3)"]
    assert "ann@example.org" not in str(logged)


async def test_many_dead_letters_of_a_queue_do_not_fill_the_log() -> None:
    published = Published()
    letters = DeadLetters(cast("Publisher", published))
    with capture_logs() as logged:
        for _ in range(10 * MAX_LINES):
            await letters.add(AGGREGATOR_OUTCOMES, LETTER, "invalid")
        await letters.add(INGEST_COMMANDS, LETTER, "invalid")
    assert len(published.messages) == 10 * MAX_LINES + 1
    assert [entry["queue"] for entry in logged] == [AGGREGATOR_OUTCOMES.name] * MAX_LINES + [INGEST_COMMANDS.name]
