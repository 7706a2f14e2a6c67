"""The workload `http`: calls any address."""

from services.worker.workloads.http.handler import workload

__all__ = ["workload"]
