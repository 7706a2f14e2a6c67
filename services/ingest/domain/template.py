"""Templates: a batch with places that parameters fill. Values keep their types; no text is put together."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.templates import TemplateForm, TemplateRun
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.json_schema import CompiledSchema
from services.ingest.domain.json_shape import is_deeper_than
from services.ingest.domain.limits import MAX_DEPTH
from services.ingest.domain.rejection import Rejection

MAX_TEMPLATE_BYTES = 256 * 1024
BUILT_IN = frozenset({"@owner", "@started_at", "@nominal_at", "@previous_success_at"})
"""Parameters that every template has."""
SHARED = "*"
"""Owner of the templates that all owners see; it is no name of an owner."""
_NOT_IN_BODY = ("batch_id", "idempotency_key", "estimate")
"""Fields that belong to a single submission."""
_NOT_IN_SCHEMA = ("$ref", "$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems")
"""Keywords by which the time that a check takes may double with each level or reference."""
_WITH_NAMES = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose values are schemas by name."""
_WITH_VALUES = frozenset({"default", "const", "enum", "examples"})
"""Keywords whose values are no schemas."""


@dataclass(frozen=True, slots=True)
class Template:
    """One version of a template."""

    owner: str
    name: str
    version: int
    workload: str
    form: TemplateForm
    created_at: datetime
    created_by: str
    """Owner who created it."""

    @property
    def is_shared(self) -> bool:
        """True if all owners see it."""
        return self.owner == SHARED


def check_template(form: TemplateForm) -> Rejection | None:
    """Return why a template cannot be used; None if it can, for some parameters."""
    size = len(to_json(form))
    if size > MAX_TEMPLATE_BYTES:
        return _wrong(f"It has {size} bytes, and at most {MAX_TEMPLATE_BYTES} fit. Pass long lists as parameters.", "")
    if is_deeper_than(form.model_dump(), MAX_DEPTH):
        return _wrong(f"It is nested deeper than {MAX_DEPTH} levels. Flatten it.", "")
    for name in _NOT_IN_BODY:
        if name in form.body:
            return _wrong(f"`{name}` belongs to a submission, not to a template. Leave it out.", f"/body/{name}")
    if not isinstance(form.body.get("workload"), str):
        return _wrong("The body needs the name of a workload.", "/body/workload")
    return _check_schema(form) or _check_places(form)


def form_of(command: TemplateForm) -> TemplateForm:
    """Return the content of the template in a command."""
    return TemplateForm(**{name: getattr(command, name) for name in TemplateForm.model_fields})


def schema_of(form: TemplateForm) -> dict[str, Any]:
    """Return the schema of the parameters, which refuses unknown ones."""
    return {"type": "object", "properties": {}, **form.parameters, "additionalProperties": False}


def command_of(form: TemplateForm, run: TemplateRun, built_in: Mapping[str, str | None]) -> BatchSubmit | Rejection:
    """Return the command that submits a batch by a template, or why there is none with these parameters."""
    schema = schema_of(form)
    defaults = {
        name: deepcopy(part["default"])
        for name, part in schema["properties"].items()
        if isinstance(part, dict) and "default" in part
    }
    parameters = defaults | run.parameters
    if is_deeper_than(parameters, MAX_DEPTH):
        return Rejection("invalid_parameters", f"The parameters are nested deeper than {MAX_DEPTH} levels.")
    try:
        compiled = _compiled(schema)
    except ValueError as error:
        return Rejection("invalid_parameters", str(error))
    if not compiled.is_valid(parameters):
        misfit = compiled.explain(parameters)
        return Rejection("invalid_parameters", misfit.detail, pointer="/parameters" + misfit.pointer)
    values: dict[str, Any] = {name: value for name, value in built_in.items() if value is not None} | parameters
    body: Any = deepcopy(form.body)
    for place, name in form.fill.items():
        if name in values:
            _put(body, place, deepcopy(values[name]))
    return batch_of(body, run)


def takes_items(form: TemplateForm, parameter: str) -> bool:
    """Tell whether a parameter is the items of the batch, and nothing else, so that a long list may come in parts."""
    return [place for place, name in form.fill.items() if name == parameter] == ["/items"]


def batch_of(body: Mapping[str, Any], run: TemplateRun) -> BatchSubmit | Rejection:
    """Return the command that submits a body, with what a submission replaces in it."""
    replaced = run.model_dump(exclude={"parameters", "version", "template"}, exclude_none=True)
    try:
        return BatchSubmit.decode(to_json({**body, **replaced}))
    except ValidationError as error:
        return rejection_of(error)


def check_body(body: Mapping[str, Any]) -> Rejection | None:
    """Return why a body is no batch; None if it is one."""
    for name in _NOT_IN_BODY:
        if name in body:
            detail = f"`{name}` belongs to a submission, not to a schedule. Leave it out."
            return Rejection("invalid_command", detail, pointer=f"/batch/{name}")
    found = batch_of(body, TemplateRun())
    return found.below("/batch") if isinstance(found, Rejection) else None


def _check_schema(form: TemplateForm) -> Rejection | None:
    schema = schema_of(form)
    try:
        _compiled(schema)
    except ValueError as error:
        return _wrong(str(error), "/parameters")
    if schema["type"] != "object" or not isinstance(schema["properties"], dict):
        return _wrong("The schema of the parameters has to be one of an object.", "/parameters")
    return None


def _compiled(schema: dict[str, Any]) -> CompiledSchema:
    """Return the compiled schema, whose checks take no more time than its size lets expect; raises `ValueError`."""
    if name := _keyword_in(schema, _NOT_IN_SCHEMA):
        advice = "Write the referenced part in its place." if name.endswith("ef") else "Use `additionalProperties`."
        raise ValueError(f"A schema of parameters has no `{name}`. {advice}")
    return CompiledSchema("schema of the parameters", schema, is_trusted=False)


def _keyword_in(schema: Any, names: tuple[str, ...]) -> str | None:
    """Return the first of some keywords that a schema has at any level. A property that has such a name is none."""
    level = [schema]
    while level:
        node = level.pop()
        if isinstance(node, dict):
            if found := next((name for name in names if name in node), None):
                return found
            for keyword, value in node.items():
                is_named = keyword in _WITH_NAMES and isinstance(value, dict)
                level += value.values() if is_named else () if keyword in _WITH_VALUES else (value,)
        elif isinstance(node, list):
            level += node
    return None


def _check_places(form: TemplateForm) -> Rejection | None:
    if "/workload" in form.fill:
        return _wrong("The workload of a template is fixed. Make a template for each.", "/fill")
    for name in _NOT_IN_BODY:
        if f"/{name}" in form.fill:
            return _wrong(f"`{name}` belongs to a submission. Let no parameter fill it.", "/fill")
    known = BUILT_IN | schema_of(form)["properties"].keys()
    body: Any = deepcopy(form.body)
    for place, name in form.fill.items():
        if name not in known:
            return _wrong(f"`fill` names the parameter {name!r}, which has no schema.", "/fill")
        if not _put(body, place, None):
            return _wrong(f"The body has no place {place!r}: what is above it has to exist.", "/fill")
    return None


def _put(document: Any, place: str, value: Any) -> bool:
    """Set the value at a JSON Pointer; False if there is no such place. A field of an object may be new."""
    *above, last = (part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:])
    for part in above:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and _is_position(part, document):
            document = document[int(part)]
        else:
            return False
    if isinstance(document, dict):
        document[last] = value
    elif isinstance(document, list) and _is_position(last, document):
        document[int(last)] = value
    else:
        return False
    return True


def _is_position(part: str, document: list[Any]) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 8 and int(part) < len(document)


def _wrong(detail: str, pointer: str) -> Rejection:
    return Rejection("invalid_template", detail, pointer=pointer)
