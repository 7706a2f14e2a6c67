"""Decides which items run next: priority, fairness, windows, chunk sizes."""
