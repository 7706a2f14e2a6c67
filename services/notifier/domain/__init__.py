"""The notifier's decisions: which targets to notify, what a response means, and when to retry."""
