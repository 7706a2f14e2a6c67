"""Stores that keep clips: a folder, or an S3-compatible store."""
