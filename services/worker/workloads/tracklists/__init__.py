"""Tracklists of DJ sets: reads their pages, scores them, writes CUE sheets."""

from services.worker.workloads.tracklists.handler import workload

__all__ = ["workload"]
