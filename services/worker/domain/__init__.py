"""Turns what a handler returned or raised into outcomes, without I/O."""
