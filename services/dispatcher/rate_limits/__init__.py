"""Publishes and answers which rates hold, and takes changes of them."""
