"""Wires the components of an active dispatcher together."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchyard_contracts import topology
from batchyard_contracts.lease_token import LeaseTokens
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.domain.forecasting.track_record import TrackRecord
from services.dispatcher.forecasts.estimator import Estimator
from services.dispatcher.forecasts.forecast_memory import ForecastMemory
from services.dispatcher.forecasts.forecaster import Forecaster
from services.dispatcher.forecasts.work_reader import WorkReader
from services.dispatcher.intake.batch_deletion import BatchDeletion
from services.dispatcher.intake.batches import BatchIntake
from services.dispatcher.intake.owner_weights import OwnerWeightHandler
from services.dispatcher.outcomes.report_handler import ReportHandler
from services.dispatcher.persistence.learned_store import LearnedStore
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.queries.history_query import HistoryQueryHandler
from services.dispatcher.queries.load_query import LoadQueryHandler
from services.dispatcher.queries.payload_query import PayloadQuery
from services.dispatcher.queries.reasons_query import ReasonsQueryHandler
from services.dispatcher.queries.states_query import StatesQueryHandler
from services.dispatcher.queries.waiting_query import WaitingQueryHandler
from services.dispatcher.rate_limits.rate_api import RateApi
from services.dispatcher.rate_limits.rate_events import RateEvents
from services.dispatcher.recovery.lost_chunks import LostChunkRecovery
from services.dispatcher.recovery.orphaned_chunks import OrphanedChunkDetector
from services.dispatcher.recovery.start_permits import StartPermits
from services.dispatcher.recovery.worker_registry import WorkerRegistry
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from services.dispatcher.settlement.external_cancel import ExternalCancel
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import Publisher
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import RateReservations
from shared.runtime.health import Health
from shared.runtime.transient import retry_transient


@dataclass(frozen=True, slots=True)
class Components:
    """The components of an active dispatcher."""

    state: DispatcherState
    stores: Stores
    pages: PageCache
    settler: ItemSettler
    undeliverable: UndeliverableChunks
    dispatch_loop: DispatchLoop
    batch_stopper: BatchStopper
    intake: BatchIntake
    batch_deletion: BatchDeletion
    payload_query: PayloadQuery
    waiting_query: WaitingQueryHandler
    reasons_query: ReasonsQueryHandler
    states_query: StatesQueryHandler
    load_query: LoadQueryHandler
    history_query: HistoryQueryHandler
    start_permits: StartPermits
    recovery: LostChunkRecovery
    orphans: OrphanedChunkDetector
    worker_registry: WorkerRegistry
    owner_weights: OwnerWeightHandler
    rate_events: RateEvents
    rate_api: RateApi
    report_handler: ReportHandler
    forecaster: Forecaster
    forecast_memory: ForecastMemory
    estimator: Estimator

    async def load(self, on_wait: Callable[[], None]) -> None:
        """Load the state from the tables. `on_wait` runs while PostgreSQL is unreachable."""
        await retry_transient(self.owner_weights.load, "PostgreSQL", on_wait=on_wait)
        await retry_transient(self.intake.load, "PostgreSQL", on_wait=on_wait)
        await retry_transient(self.rate_events.load, "PostgreSQL", on_wait=on_wait)
        await retry_transient(self.forecast_memory.load, "PostgreSQL", on_wait=on_wait)
        now = time.monotonic()
        leases = await retry_transient(lambda: self.stores.leases.leases(now), "PostgreSQL", on_wait=on_wait)
        for lease in leases:
            self.state.add_lease(lease)
        self.orphans.watch(leases, now)


def build(
    settings: DispatcherSettings,
    health: Health,
    pool: Pool,
    publisher: Publisher,
    memory: RedisClient,
    wait_for_aggregator: Callable[[], Awaitable[None]],
) -> Components:
    """Return the components of a dispatcher without a state.

    `wait_for_aggregator` returns when the aggregator has handled most messages on the slow path.
    """
    state, stores = DispatcherState(settings.owner_weights), Stores.on(pool)
    pages = PageCache(stores)
    settler = ItemSettler(stores, publisher, ExternalCancel(state, publisher), wait_for_aggregator)
    chunk_settler = ChunkSettler(state, stores, settler, pages)

    pulse = health.pulse("dispatch loop")
    batch_stopper = BatchStopper(state, stores, settler, pages, publisher, health.pulse("batch stopper"))
    chunk_publisher = ChunkPublisher(
        state,
        stores,
        publisher,
        pages,
        chunk_settler,
        batch_stopper.stop_failed,
        on_wait=pulse.beat,
        tokens=LeaseTokens.parse(settings.lease_keys.get_secret_value()),
    )
    undeliverable = UndeliverableChunks(state, chunk_publisher, chunk_settler)
    dispatch_loop = DispatchLoop(state, stores, chunk_publisher, undeliverable, batch_stopper, pulse)
    work_reader = WorkReader(state, stores)
    record = TrackRecord()
    forecaster = Forecaster(state, work_reader, publisher, record)
    intake = BatchIntake(state, stores, settler, pages, dispatch_loop, batch_stopper, forecaster.record_end)

    start_permits = StartPermits(state, stores, chunk_settler)
    recovery = LostChunkRecovery(
        state,
        stores,
        chunk_publisher,
        chunk_settler,
        pages,
        start_permits,
        undeliverable,
        settings.max_chunk_losses,
        on_wait=health.pulse(topology.DISPATCHER_OUTCOMES.name).beat,
    )
    orphans = OrphanedChunkDetector(state, settings.lease_s)
    rate_store = RateStore(pool)
    rate_events = RateEvents(state, rate_store, settler, publisher, RateReservations(memory), health.pulse("rates"))
    return Components(
        state=state,
        stores=stores,
        pages=pages,
        settler=settler,
        undeliverable=undeliverable,
        dispatch_loop=dispatch_loop,
        batch_stopper=batch_stopper,
        intake=intake,
        batch_deletion=BatchDeletion(state, pool, publisher, intake.forget, settings.orphan_days),
        payload_query=PayloadQuery(stores),
        waiting_query=WaitingQueryHandler(state, stores),
        reasons_query=ReasonsQueryHandler(state, stores),
        states_query=StatesQueryHandler(state, stores, pages),
        load_query=LoadQueryHandler(state),
        history_query=HistoryQueryHandler(state, stores, rate_store),
        start_permits=start_permits,
        recovery=recovery,
        orphans=orphans,
        worker_registry=WorkerRegistry(state, stores, recovery, orphans, settings),
        owner_weights=OwnerWeightHandler(state, stores.owners),
        rate_events=rate_events,
        rate_api=RateApi(state, rate_store, rate_events),
        report_handler=ReportHandler(state, stores, settler, pages, dispatch_loop, batch_stopper, rate_events),
        forecaster=forecaster,
        forecast_memory=ForecastMemory(state, LearnedStore(pool), record),
        estimator=Estimator(state, work_reader, forecaster),
    )
