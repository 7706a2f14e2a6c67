"""Limits when an item may start: slots, rates, pauses of destinations."""
