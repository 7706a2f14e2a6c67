"""Limits on items and pages; the contracts limit the number of items."""

MAX_ITEM_BYTES = 1536 * 1024
"""Largest size of an item's payload as JSON. Larger data is passed by reference."""
MAX_DEPTH = 64
"""Deepest nesting of arrays and objects in a payload."""
PAGE_ITEMS = 1000
PAGE_BYTES = 256 * 1024
"""Largest size of a page: so many items, and about so many bytes of payload."""
