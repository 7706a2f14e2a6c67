"""Periodic transaction: counters that have drifted, rounds that should have ended, summaries that are due."""
