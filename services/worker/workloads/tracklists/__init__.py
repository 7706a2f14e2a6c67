"""Tracklists of DJ sets: reads their pages, scores them, writes CUE sheets."""

from services.worker.workloads.tracklists.workload import tracklists

__all__ = ["tracklists"]
