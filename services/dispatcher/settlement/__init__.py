"""Ends items without a run: cancelled, expired, given up."""
