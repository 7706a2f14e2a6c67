"""The workload `predictions`: when a project will be done, what it will have cost, and how risky it is."""

from services.worker.workloads.predictions.handler import workload

__all__ = ["workload"]
