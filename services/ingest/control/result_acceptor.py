"""Accepts results that were refused because they do not fit the schema of their workload, and that are kept."""

import structlog

from batchyard_contracts.v1.commands import CommandAccepted, ResultsAccept
from batchyard_contracts.v1.flow import ResultsAccepted
from batchyard_contracts.v1.queries import SelectionQuery
from batchyard_contracts.v1.values import Selection
from services.ingest.control.finished_batches import NOT_FINISHED, FinishedBatches
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.precondition import NO_PRECONDITION, Precondition
from services.ingest.domain.rejection import ID_TAKEN, Rejection
from services.ingest.persistence.store import BatchStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.submit import digest_of
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
INVALID_RESULT = "invalid_result"
NOTHING_TO_ACCEPT = Rejection(
    "nothing_to_accept",
    f"No item that is meant failed as `{INVALID_RESULT}`. See the failures of the batch for the items that did.",
    409,
)


class ResultAcceptor:
    """Handler of `results.accept.v1`. The accepted items succeed in a new round, in which nothing runs."""

    def __init__(
        self, store: BatchStore, outbox: Outbox, aggregator: AggregatorClient, finished: FinishedBatches
    ) -> None:
        self._store, self._outbox, self._aggregator, self._finished = store, outbox, aggregator, finished

    async def accept(
        self,
        owner: str,
        command: ResultsAccept,
        command_id: str | None = None,
        precondition: Precondition = NO_PRECONDITION,
    ) -> CommandAccepted:
        """Accept results of a finished batch; raises `IngestError`. A command that is repeated under its id acts
        once."""
        digest = digest_of(command, exclude=set())
        is_replay = await self._store.has_control(owner, command_id, digest)
        round_, count = (0, 0) if is_replay else await self._refused(owner, command)
        async with self._store.lock(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise IngestError(NOT_FOUND)
            if command_id:
                earlier = await locked.record_control(owner, command_id, header.batch_id, digest)
                if earlier is not None and earlier != digest:
                    raise IngestError(ID_TAKEN)
                if earlier is not None:
                    return header.to_reply(replayed=True)
            precondition.check(header)
            if header.round > round_:
                raise IngestError(NOT_FINISHED)  # another round was opened meanwhile
            after = {"round": round_ + 1, "items": count, "reason": command.reason}
            await locked.record_audit("batch.accept", header, before={"round": round_}, after=after)
            await locked.start_round(header.batch_id, round_ + 1, count)
            message = ResultsAccepted(
                batch_id=header.batch_id,
                owner=owner,
                round=round_,
                ordinals=command.ordinals,
                custom_ids=command.custom_ids,
                at=await locked.next_control_time(header.batch_id),
            )
            posted = await locked.add_messages(header, [EncodedMessage(message.type, message.encode())])
        log.info("results accepted by hand", batch_id=str(header.batch_id), items=count)
        await self._outbox.deliver(posted)
        return header.to_reply().model_copy(update={"accepted": count})

    async def _refused(self, owner: str, command: ResultsAccept) -> tuple[int, int]:
        """Return the round of the batch, and the number of refused results that the command means."""
        header, state = await self._finished.get(owner, command.batch_id)
        select = Selection(codes=[INVALID_RESULT], ordinals=command.ordinals, custom_ids=command.custom_ids)
        query = SelectionQuery(owner=owner, batch_id=header.batch_id, select=select, limit=0, count=True)
        if not (count := (await self._aggregator.selection(query)).count):
            raise IngestError(NOTHING_TO_ACCEPT)
        return state.round, count
