"""Bounds of the pages of replies, and the cursor that continues them."""

from typing import Annotated

from pydantic import Field

from batchyard_contracts.v1.values import MAX_INTEGER

MAX_PAGE = 1000
"""Largest number of rows in one reply; `BatchesQuery` and `ResultsQuery` go on from a cursor."""


MAX_RESULTS = 10_000
"""Largest number of outcomes in one reply of type `results.page.v1`."""

MAX_ORDINALS = 10_000
"""Largest number of ordinals in one reply to `SelectionQuery`."""


Cursor = Annotated[int, Field(ge=-1, le=MAX_INTEGER)]
"""Ordinal after which a page begins; -1: the first page."""
