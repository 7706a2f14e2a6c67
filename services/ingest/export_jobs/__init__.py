"""Exports of results that run in the background, and write files with a manifest into a store."""
