"""Measurements of what others, and faults, may take from a user."""
