"""JSON documents: patches that come from outside, and summaries for people."""
