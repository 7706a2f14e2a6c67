"""Passes on the progress of batches to those who watch them."""
