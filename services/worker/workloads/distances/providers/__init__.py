"""Routing services that compute ways, each in a module of its own."""
