"""Providers that make clips, each behind one interface."""
