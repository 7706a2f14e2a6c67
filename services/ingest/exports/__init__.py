"""The forms in which outcomes leave: each takes pages and gives bytes, holding one page at a time."""
