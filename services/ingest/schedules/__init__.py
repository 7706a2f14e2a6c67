"""Schedules: batches that start at recurring times, each time once, whichever replica does it."""
