"""Looks up, stores and removes results in the result cache."""
