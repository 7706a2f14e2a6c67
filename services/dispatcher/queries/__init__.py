"""Answers to questions about what the dispatcher holds: from memory, and in bounded reads from the tables."""
