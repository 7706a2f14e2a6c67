"""Rates of the workload `distances` by chunk size, and the latency of recommendations."""
