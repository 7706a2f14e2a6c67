"""Says what is wrong with a body that is no command."""

from pydantic import ValidationError

from services.ingest.domain.fault import Fault
from shared.messaging.delivery import explain


def fault_of(error: ValidationError) -> Fault:
    """Say what is wrong with a body, with the first item at fault when it is an item."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = first["loc"]
    if first["type"] == "json_invalid":
        return Fault("malformed_json", f"{first['msg']}. Send one JSON object in UTF-8.", 400)
    if place == ("items",) and first["type"] == "too_long":
        return Fault("too_many_items", f"{first['msg']}. Send the rest with append, or as NDJSON by HTTP.")
    if len(place) > 1 and place[0] == "items" and isinstance(place[1], int):
        return Fault("invalid_item", explain(error), line=place[1] + 1)
    return Fault("invalid_command", explain(error))
