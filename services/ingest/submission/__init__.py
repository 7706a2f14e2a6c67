"""Accepts batches and their items: submit, append, seal, upload, expand a source."""
