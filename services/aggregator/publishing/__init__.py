"""Publishes what changed: the end of a batch, its progress, its failures."""
