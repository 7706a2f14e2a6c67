"""Who takes part, and how each is started: argv after the interpreter of its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_CELERY = ("-m", "celery", "-A", "benchmarks.peers.celery_peer", "worker", "-l", "WARNING")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
_PIPELINE = ("-m", "benchmarks.peers.chunk_pipeline")


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant that is not Batchyard. Two worker processes each, one for each core."""

    name: str
    title: str
    workers: tuple[tuple[str, ...], ...]
    submitter: tuple[str, ...]
    requirements: str | None = None
    """A file beside this one, with hashes; None: what the project itself has installed."""
    prepare: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def _celery(name: str, title: str, threads: int, **environment: str) -> Peer:
    workers = tuple((*_CELERY, "-P", "threads", "-c", str(threads), "-n", f"w{n}@%h", *_QUIET) for n in (1, 2))
    return Peer(name, title, workers, ("-m", "benchmarks.peers.celery_peer"), "celery.txt", environment=environment)


def _chunks(size: int) -> Peer:
    return Peer(
        f"chunk_limit_{size}",
        f"bare chunk pipeline, {size} a chunk",
        ((*_PIPELINE, "worker"),) * 2,
        (*_PIPELINE, "submit"),
        prepare=(*_PIPELINE, "tables"),
        environment={"BENCH_CHUNK": str(size)},
    )


CELERY = _celery("celery", "Celery, a chord of items", 4)
CELERY_NAPS = _celery("celery_naps", "Celery, a chord of items", 50)
CELERY_CHUNKS = _celery("celery_chunks_100", "Celery chunks(100), no outcome per item", 4, BENCH_VARIANT="chunks")
CELERY_CHUNKS_1000 = _celery(
    "celery_chunks_1000",
    "Celery chunks(1000), no outcome per item",
    4,
    BENCH_VARIANT="chunks",
    BENCH_CHUNK="1000",
)
CHUNK_LIMIT = _chunks(100)
