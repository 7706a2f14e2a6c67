"""What Batchyard is compared with: each in an environment of its own, asked over a pipe, on the same servers."""
