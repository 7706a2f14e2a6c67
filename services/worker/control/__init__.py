"""Exchanges worker state with other services: heartbeats out, batch commands in."""
