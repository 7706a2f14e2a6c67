"""Authentication: API keys, sessions of browsers, and the rights that follow from them."""
