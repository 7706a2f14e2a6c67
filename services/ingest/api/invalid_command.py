"""Explains why a message body is not a valid command."""

from pydantic import ValidationError

from services.ingest.domain.rejection import Rejection
from shared.messaging.delivery import explain

_ITEM_FORM = ' In a command, write an item as {"payload": {…}, "custom_id": "…"}.'


def rejection_of(error: ValidationError) -> Rejection:
    """Return the rejection of an invalid body, with the position of the first invalid item if an item is to blame."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = first["loc"]
    if first["type"] == "json_invalid":
        return Rejection("malformed_json", f"{first['msg']}. Send one JSON object in UTF-8.", 400)
    if place == ("items",) and first["type"] == "too_long":
        return Rejection("too_many_items", f"{first['msg']}. Append the rest, or upload the items as NDJSON over HTTP.")
    if len(place) > 1 and place[0] == "items" and isinstance(place[1], int):
        advice = _ITEM_FORM if place[2:] == ("payload",) and first["type"] == "missing" else ""
        return Rejection("invalid_item", explain(error) + advice, line=place[1] + 1)
    return Rejection("invalid_command", explain(error))
