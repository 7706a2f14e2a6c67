"""Periodic tasks: repair of counters, rounds that should have ended, summary requests that are due."""
