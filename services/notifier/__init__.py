"""Tells people that their batch has finished: signed webhooks and e-mail, each retried from a table."""
