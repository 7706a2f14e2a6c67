"""The dispatcher's tables, statements and migrations."""
