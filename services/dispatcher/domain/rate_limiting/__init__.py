"""Decisions on how fast items may start: rates, adaptive rates, limits, circuit breakers."""
