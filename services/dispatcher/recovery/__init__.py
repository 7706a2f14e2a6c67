"""Finds chunks whose worker or dispatcher was lost, and decides what follows."""
