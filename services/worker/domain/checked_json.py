"""Writes a model as JSON, unless a field has a value that is not of its type.

The serializer of pydantic warns of such a value. Its own `warnings="error"` would raise, but takes five times as long
as writing a small model. So a filter makes the warnings that come from this module errors, and no others.
"""

import re
import warnings

from pydantic import BaseModel

_MODULE = re.escape(__name__) + "$"
_FILTERS = [("error", None, UserWarning, re.compile(_MODULE), 0)]
"""Start of `warnings.filters`: action, message, category, module and line."""


def checked_json(value: BaseModel) -> bytes:
    """Return the JSON of a model; raises the warning, or an error of the model's own code."""
    if warnings.filters[:1] != _FILTERS:  # handlers set filters of their own, which come first
        warnings.filterwarnings("error", category=UserWarning, module=_MODULE)
    body = value.__pydantic_serializer__.to_json(value)
    if warnings.filters[:1] != _FILTERS:  # changed meanwhile, by the model's own code or by a handler in a thread
        return value.__pydantic_serializer__.to_json(value, warnings="error")
    return body
