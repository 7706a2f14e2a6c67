"""Decisions on which items run next: priority, fairness, in-flight window, chunk size."""
