"""Reads what was stored as JSON, perhaps by a newer version whose values this one does not know."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_stored(model: type[ModelT], text: str) -> tuple[ModelT, tuple[str, ...]]:
    """Return a stored form, and the names of the fields that this version cannot read: they have their defaults.

    Fields that it does not know are left out. A form that contradicts itself is returned as it is, with the name `*`.
    """
    try:
        return model.model_validate_json(text, extra="ignore"), ()
    except ValidationError as error:
        wrong = {str(one["loc"][0]) if one["loc"] else "*" for one in error.errors()}
    document = orjson.loads(text)
    known = {name: value for name, value in document.items() if name in model.model_fields and name not in wrong}
    unread = tuple(sorted(wrong))
    try:
        return model.model_validate_json(orjson.dumps(known), extra="ignore"), unread
    except ValidationError:
        required = {name: "" for name, field in model.model_fields.items() if field.is_required()}
        return model.model_construct(**required | known), unread
