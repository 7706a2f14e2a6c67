"""JSON documents: patches from clients, and summaries for people."""
