"""Runs chunks whose worker was lost in a process of their own, and finds the item that ends it."""
