"""The limits of what is taken in; the number of items is limited by the contracts."""

MAX_ITEM_BYTES = 1536 * 1024
"""An item's payload as JSON. Larger things are passed by reference: an address, not the thing."""
MAX_DEPTH = 64
"""Levels of arrays and objects in a payload."""
PAGE_ITEMS = 1000
PAGE_BYTES = 256 * 1024
"""A page holds at most so many items, and about so many bytes of payload."""
