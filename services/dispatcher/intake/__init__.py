"""Accepts batches, pages of items and controls, and answers queries for payloads."""
