"""Contestants of the comparison beside Batchyard, with their work and configuration."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer
from benchmarks.work import HUNDRED, NAPS, ONES, TEN, TENS, Work

Kind = Literal["per item", "no outcome per item", "limit"]


@dataclass(frozen=True, slots=True)
class Part:
    """One session: what is run in it."""

    peer: Peer
    works: tuple[Work, ...]
    singles: bool = False
    """True when single items are timed too."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the table: its best configuration for each kind of work."""

    name: str
    title: str
    kind: Kind
    parts: tuple[Part, ...]


CONTESTANTS = (
    Contestant(
        "chunk_limit_100",
        "bare chunk pipeline, 100 a chunk (no product)",
        "limit",
        (Part(peer.CHUNK_LIMIT, (TEN, HUNDRED, NAPS), singles=True),),
    ),
    Contestant("bare_road", "bare road of one item (no product)", "limit", (Part(peer.BARE_ROAD, (), singles=True),)),
    Contestant(
        "celery_chunks_1000",
        "Celery `chunks(1000)`",
        "no outcome per item",
        (Part(peer.CELERY_CHUNKS_1000, (TEN, HUNDRED)),),
    ),
    Contestant(
        "celery_chunks_100",
        "Celery `chunks(100)`",
        "no outcome per item",
        (Part(peer.CELERY_CHUNKS, (TEN, HUNDRED)),),
    ),
    Contestant("bullmq", "BullMQ, `addBulk`", "per item", (Part(peer.BULLMQ, (TEN, NAPS, ONES, TENS), singles=True),)),
    Contestant(
        "dramatiq",
        "Dramatiq, `group`",
        "per item",
        (Part(peer.DRAMATIQ, (TEN, ONES, TENS), singles=True), Part(peer.DRAMATIQ_NAPS, (NAPS,))),
    ),
    Contestant(
        "taskiq", "Taskiq, a `kiq` an item", "per item", (Part(peer.TASKIQ, (TEN, NAPS, ONES, TENS), singles=True),)
    ),
    Contestant(
        "celery",
        "Celery, `chord`",
        "per item",
        (Part(peer.CELERY, (TEN, ONES, TENS), singles=True), Part(peer.CELERY_NAPS, (NAPS,))),
    ),
    Contestant(
        "celery_quorum", "Celery on quorum queues", "per item", (Part(peer.CELERY_QUORUM, (TEN,), singles=True),)
    ),
    Contestant(
        "procrastinate",
        "procrastinate, `batch_defer`",
        "per item",
        (Part(peer.PROCRASTINATE, (TEN,), singles=True), Part(peer.PROCRASTINATE_NAPS, (NAPS,))),
    ),
)
