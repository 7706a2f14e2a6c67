"""The workload `leads`: properties and their owners by criteria, from PropertyRadar."""

from services.worker.workloads.leads.handler import workload

__all__ = ["workload"]
