"""Ends items without a run: cancelled, expired or failed."""
