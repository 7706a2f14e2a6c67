"""Where clips are kept: a folder, or an S3-compatible store."""
