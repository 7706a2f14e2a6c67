"""Runs a workload on the items of a chunk and reports one outcome for each."""
