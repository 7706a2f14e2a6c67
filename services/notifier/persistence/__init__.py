"""The notifier's tables, statements and migrations."""
