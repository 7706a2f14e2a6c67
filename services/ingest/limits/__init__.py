"""Limits of owners, and the use that is made of them."""
