"""Known results: looks them up, keeps them, forgets them when told to."""
