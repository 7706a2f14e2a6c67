"""Distances and travel times between contractors and jobs, by a matrix service or as an estimate."""

from services.worker.workloads.distances.handler import workload

__all__ = ["workload"]
