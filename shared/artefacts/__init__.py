"""Stores of files that are too large for messages and tables: a folder, or a bucket of an S3-compatible store."""
