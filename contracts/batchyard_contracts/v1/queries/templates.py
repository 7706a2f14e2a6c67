"""Queries for templates, which ingest answers."""

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.templates import TemplateForm, TemplateName, TemplateNote, TemplateVersion
from batchyard_contracts.v1.values import Owner, Time, WorkloadName

MAX_TEMPLATES = 200
"""Largest number of templates, or of versions, in one reply."""
NamePart = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{0,63}$")]


class TemplatesQuery(Message):
    """Query for the latest versions of the templates that an owner sees, by name; or, with `name`, for the versions of
    one, the latest first."""

    type: ClassVar[str] = "templates.query.v1"
    owner: Owner
    prefix: NamePart = ""
    """Beginning of the names."""
    after: NamePart = ""
    """`next_after` of the page before."""
    name: TemplateName | None = None
    below: TemplateVersion | None = None
    """Version above those that are wanted of one template; `next_below` of the page before."""
    limit: Annotated[int, Field(ge=1, le=MAX_TEMPLATES)] = 50


class TemplateState(Value):
    """A version of a template without its content."""

    name: TemplateName
    version: TemplateVersion
    shared: bool = False
    """True: all owners see it."""
    workload: WorkloadName
    description: TemplateNote = ""
    created_at: Time
    created_by: Owner


class TemplatesReply(Message):
    """Reply with a page of templates, or of the versions of one."""

    type: ClassVar[str] = "templates.reply.v1"
    templates: Annotated[list[TemplateState], Field(max_length=MAX_TEMPLATES)] = []
    next_after: NamePart | None = None
    """Name after which the next page begins; None: this is the last one."""
    next_below: TemplateVersion | None = None
    """Version below which the next page of versions begins; None: this is the last one."""


class TemplateQuery(Message):
    """Query for one version of a template with its content, and for what differs from another version."""

    type: ClassVar[str] = "template.query.v1"
    owner: Owner
    name: TemplateName
    version: TemplateVersion | None = None
    """None: the latest."""
    compare_with: TemplateVersion | None = None
    """Earlier version, from which `changes` lead to this one; None: no comparison."""


class TemplateChange(Value):
    """A value that differs between two versions."""

    pointer: Annotated[str, StringConstraints(max_length=10_000)]
    """JSON Pointer (RFC 6901) from the root of the template, of which a very long one is cut."""
    is_new: bool = False
    """True: the earlier version does not have it."""
    is_gone: bool = False
    """True: the later version does not have it."""
    before: JsonValue = None
    after: JsonValue = None


class TemplateReply(Message):
    """Reply with one version of a template."""

    type: ClassVar[str] = "template.reply.v1"
    found: bool = True
    """False: the owner sees no such template or version."""
    template: TemplateState | None = None
    form: TemplateForm | None = None
    changes: Annotated[list[TemplateChange], Field(max_length=100_000)] | None = None
