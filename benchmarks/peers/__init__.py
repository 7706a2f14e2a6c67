"""Peers of the comparison: each in an environment of its own, asked over a pipe, on the same servers."""
