"""Decides how fast items may start: rates, learned rates, limits, circuit breakers."""
