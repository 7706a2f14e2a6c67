"""Handles the workers' reports."""
