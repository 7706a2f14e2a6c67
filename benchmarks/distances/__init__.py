"""What chunks of each size do for the workload `distances`, and how soon recommendations are there."""
