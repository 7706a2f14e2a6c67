"""Runs the items of a chunk and reports on them."""
