"""Submission of batches and items: submit, append, seal, upload, expand a source."""
