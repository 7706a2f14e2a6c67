"""Publishes rates and their changes, answers queries for them, and applies operators' changes."""
