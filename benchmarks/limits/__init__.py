"""Limits of the servers alone with the same messages and the same rows: no design that uses them can pass these."""
