"""Queries to other services, and paged reading of results."""
