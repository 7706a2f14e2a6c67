"""Answers questions to the workloads of this worker."""
