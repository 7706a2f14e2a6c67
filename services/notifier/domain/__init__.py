"""What the notifier decides: whom to tell, what an answer means, and when to try again."""
