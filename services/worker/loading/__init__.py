"""Finds workloads: those built in, of installed packages, and of single files."""
