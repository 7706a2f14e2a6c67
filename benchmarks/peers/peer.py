"""Peers that can be measured beside Batchyard, each with its argv after the program of its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_CELERY = ("-m", "celery", "-A", "benchmarks.peers.celery_peer", "worker", "-l", "WARNING")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
_PIPELINE = ("-m", "benchmarks.peers.chunk_pipeline")
_ROAD = ("-m", "benchmarks.peers.bare_road")
_TASKIQ = ("-m", "taskiq", "worker", "benchmarks.peers.taskiq_peer:broker", "--log-level", "WARNING")
_PROCRASTINATE = (
    "-m",
    "procrastinate",
    "--app=benchmarks.peers.procrastinate_peer.app",
    "--log-level=warning",
    "worker",
)
_BULLMQ = "benchmarks/peers/bullmq/peer.cjs"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that is not Batchyard, in one configuration. Two worker processes each, one for each core; the bare
    road has one for each service."""

    name: str
    title: str
    workers: tuple[tuple[str, ...], ...]
    """`{bin}` stands for the folder of the environment's programs."""
    submitter: tuple[str, ...]
    needs: str | None = None
    """Packages to install, beside this file: requirements with hashes, or a folder of a Node package; None: nothing."""
    prepare: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def _celery(name: str, *pool: tuple[str, ...], **environment: str) -> Peer:
    workers = tuple((*_CELERY, *each, "-n", f"w{n}@%h", *_QUIET) for n, each in enumerate(pool, 1))
    return Peer(name, "Celery", workers, ("-m", "benchmarks.peers.celery_peer"), "celery.txt", environment=environment)


def _pipeline(size: int) -> Peer:
    return Peer(
        f"chunk_limit_{size}",
        "bare chunk pipeline",
        ((*_PIPELINE, "worker"),) * 2,
        (*_PIPELINE, "submit"),
        prepare=(*_PIPELINE, "tables"),
        environment={"BENCH_CHUNK": str(size)},
    )


def _dramatiq(name: str, threads: int, prefetch: int) -> Peer:
    worker = ("benchmarks.peers.dramatiq_peer", "-p", "2", "-t", str(threads), "--skip-logging")
    return Peer(
        name,
        "Dramatiq",
        (("{bin}/dramatiq-gevent", *worker),),
        ("-m", "benchmarks.peers.dramatiq_peer"),
        "dramatiq.txt",
        environment={"dramatiq_queue_prefetch": str(prefetch)},
    )


def _procrastinate(name: str, at_once: int) -> Peer:
    return Peer(
        name,
        "procrastinate",
        ((*_PROCRASTINATE, "-c", str(at_once)),) * 2,
        ("-m", "benchmarks.peers.procrastinate_peer", "submit"),
        "procrastinate.txt",
        prepare=("-m", "benchmarks.peers.procrastinate_peer", "prepare"),
    )


_THREADS = ("-P", "threads", "-c", "4")
_MANY_THREADS = ("-P", "threads", "-c", "50")

CELERY = _celery("celery", _THREADS, _THREADS)
CELERY_QUORUM = _celery("celery_quorum", _THREADS, _THREADS, BENCH_VARIANT="quorum")
CELERY_NAPS = _celery("celery_naps", _MANY_THREADS, _MANY_THREADS)
CELERY_CHUNKS = _celery("celery_chunks_100", _THREADS, _THREADS, BENCH_VARIANT="chunks")
CELERY_CHUNKS_1000 = _celery("celery_chunks_1000", _THREADS, _THREADS, BENCH_VARIANT="chunks", BENCH_CHUNK="1000")
DRAMATIQ = _dramatiq("dramatiq", 4, 100)
DRAMATIQ_NAPS = _dramatiq("dramatiq_naps", 50, 50)
TASKIQ = Peer(
    "taskiq",
    "Taskiq",
    ((*_TASKIQ, "--workers", "2", "--max-async-tasks", "50", "--ack-type", "when_saved"),),
    ("-m", "benchmarks.peers.taskiq_peer"),
    "taskiq.txt",
)
PROCRASTINATE = _procrastinate("procrastinate", 2)
PROCRASTINATE_NAPS = _procrastinate("procrastinate_naps", 50)
BULLMQ = Peer("bullmq", "BullMQ", ((_BULLMQ, "worker"),) * 2, (_BULLMQ, "submit"), "bullmq")
CHUNK_LIMIT = _pipeline(100)
BARE_ROAD = Peer(
    "bare_road",
    "bare road",
    tuple((*_ROAD, service) for service in ("ingest", "dispatcher", "worker", "aggregator")),
    (*_ROAD, "submit"),
    prepare=(*_ROAD, "tables"),
)
