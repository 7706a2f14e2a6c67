"""Each struct of the fast readers has fields of its contract model, with the same names, types, bounds and defaults."""

import json
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter

from batchyard_contracts.v1.flow import BatchAccepted, ChunkProcessed, ItemOutcome, ItemsPage, PageItem, Segment
from batchyard_contracts.v1.queries import ResultsPage
from batchyard_contracts.v1.values import ItemResult, StoredResult
from batchyard_contracts.v1.work import ChunkItem
from shared.messaging import fast_readers
from shared.messaging.fast_readers import (
    RawAcceptedItems,
    RawChunkItem,
    RawKeyedItem,
    RawOutcome,
    RawPage,
    RawReport,
    RawReportHead,
    RawResult,
    RawResultPage,
    RawSegment,
    RawStoredResult,
)

MODELS: dict[type[msgspec.Struct], type[BaseModel]] = {
    RawOutcome: ItemOutcome,
    RawStoredResult: StoredResult,
    RawReportHead: ChunkProcessed,
    RawReport: ChunkProcessed,
    RawSegment: Segment,
    RawPage: ItemsPage,
    RawAcceptedItems: BatchAccepted,
    RawKeyedItem: PageItem,
    RawChunkItem: ChunkItem,
    RawResult: ItemResult,
    RawResultPage: ResultsPage,
}
FIELDS = [
    pytest.param(struct, field, id=f"{struct.__name__}.{field.name}")
    for struct in MODELS
    for field in msgspec.structs.fields(struct)
]
LEFT_TO_THE_MODEL = {"RawKeyedItem.key": "pattern"}  # the dispatcher stores what ingest has written


def test_every_struct_has_a_model() -> None:
    structs = {one for one in vars(fast_readers).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)}
    assert structs == MODELS.keys()


@pytest.mark.parametrize(("struct", "field"), FIELDS)
def test_a_field_is_that_of_the_model(struct: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> None:
    expected = MODELS[struct].model_fields[field.name]
    assert field.encode_name == field.name == (expected.validation_alias or field.name)
    assert field.required == expected.is_required()
    model_schema = TypeAdapter(MODELS[struct]).json_schema()["properties"][field.name]
    if left := LEFT_TO_THE_MODEL.get(f"{struct.__name__}.{field.name}"):
        model_schema = without(model_schema, left)
    assert agrees(schema_of(field.type), comparable(model_schema))
    if not field.required and field.type is not msgspec.Raw:
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        assert default == expected.get_default(call_default_factory=True)


def schema_of(annotation: Any) -> Any:
    """Return the schema of a field; that of JSON that is read later, if at all, is empty."""
    if annotation is msgspec.Raw:
        return {}
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) is list:
        kind, bounds = get_args(annotation)
        return {"type": "array", "items": schema_of(*get_args(kind)), "maxItems": bounds.max_length}
    if get_origin(annotation) in (Union, UnionType) and get_args(annotation)[1:] == (type(None),):
        return comparable({"anyOf": [schema_of(get_args(annotation)[0]), {"type": "null"}]})
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return {"$ref": MODELS[annotation].__name__}
    return comparable(msgspec.json.schema(annotation))


def agrees(schema: Any, model_schema: Any) -> bool:
    """Tell whether schemas are equal, apart from those that are empty."""
    if isinstance(schema, dict) and isinstance(model_schema, dict) and schema:
        return schema.keys() == model_schema.keys() and all(agrees(schema[key], model_schema[key]) for key in schema)
    return bool(schema in ({}, model_schema))


def comparable(schema: Any) -> Any:
    """Return a schema without names and descriptions, in one order and spelling."""
    if isinstance(schema, list):
        return sorted(map(comparable, schema), key=lambda part: json.dumps(part, sort_keys=True))
    if not isinstance(schema, dict):
        return schema
    found = {name: comparable(part) for name, part in schema.items() if name not in {"title", "description", "default"}}
    if "$ref" in found:
        found["$ref"] = found["$ref"].rpartition("/")[2]
    if "pattern" in found:
        found["pattern"] = found["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if "enum" in found:
        found["type"] = "string"
    return found


def without(schema: Any, keyword: str) -> Any:
    """Return a schema without a keyword, at any depth."""
    if isinstance(schema, list):
        return [without(part, keyword) for part in schema]
    if isinstance(schema, dict):
        return {name: without(part, keyword) for name, part in schema.items() if name != keyword}
    return schema
