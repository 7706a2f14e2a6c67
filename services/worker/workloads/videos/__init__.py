"""The workload `videos`: clips from prompts, by a provider's jobs or by a renderer of its own."""

from services.worker.workloads.videos.handler import workload

__all__ = ["workload"]
