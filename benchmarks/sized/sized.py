"""The workload `distances` with chunks of fixed sizes, with which adaptive chunks are compared."""

from batchyard_contracts.workload import Chunking, Limits, Workload
from services.worker.workloads.distances.handler import run
from services.worker.workloads.distances.handler import workload as adaptive
from services.worker.workloads.distances.model import DistanceItem, DistanceResult
from services.worker.workloads.distances.opening import open_resources


def _sized(items: int) -> Workload[DistanceItem, DistanceResult]:
    workload = Workload(
        f"distances-{items}",
        version="1",
        item=DistanceItem,
        result=DistanceResult,
        lifespan=open_resources,
        chunking=Chunking(min=items, max=items),
        limits=Limits(concurrency=adaptive.manifest.concurrency, item_timeout_s=adaptive.manifest.item_timeout_s),
    )
    workload.chunk_handler(run)
    return workload


by_1, by_10, by_100 = _sized(1), _sized(10), _sized(100)
