"""Commands on templates, from which batches are submitted with parameters."""

from operator import not_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from batchyard_contracts.message import Command, Message, Value
from batchyard_contracts.v1.manifest import Pointer
from batchyard_contracts.v1.values import MAX_INTEGER, BatchId, IdempotencyKey, Owner, Priority, Result, Text, Time

TemplateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
TemplateVersion = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
TemplateNote = Annotated[Text, StringConstraints(max_length=500)]
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,62}$"
ParameterName = Annotated[str, StringConstraints(pattern=f"^{_NAME}")]
FilledName = Annotated[str, StringConstraints(pattern=f"^@?{_NAME}")]
"""Name of a parameter; one that begins with `@` is built in, see `TemplateForm.fill`."""
Place = Annotated[str, StringConstraints(pattern=r"^(/([^~/\x00-\x1f]|~0|~1){0,100}){1,10}$")]
"""JSON Pointer (RFC 6901) into the body of a template."""
Parameters = Annotated[dict[ParameterName, JsonValue], Field(max_length=100)]
"""Values of parameters, by name."""
BatchBody = Annotated[dict[Annotated[str, StringConstraints(max_length=63)], JsonValue], Field(max_length=40)]
"""Fields of `batch.submit.v1` without `batch_id` and `idempotency_key`."""


class FollowUpItems(Value, extra="forbid"):
    """Rule by which results of succeeded items become the items of a follow-up batch."""

    parameter: ParameterName
    """Parameter of the template that takes the items."""
    pointer: Pointer = ""
    """JSON Pointer into each result. A list there gives an item for each entry; a result without it gives none."""
    payload: Annotated[dict[Annotated[str, StringConstraints(max_length=63)], Pointer], Field(max_length=50)] = {}
    """Fields of each payload, by the pointer to their value in what `pointer` found. What has none of them gives no
    item. Empty: all of what was found is the payload."""
    constants: Annotated[
        dict[Annotated[str, StringConstraints(max_length=63)], JsonValue], Field(max_length=50, exclude_if=not_)
    ] = {}
    """Further fields of each payload, which have the same value in all of them."""


class FollowUp(Value, extra="forbid"):
    """Batch that is submitted once by a template when another batch ends."""

    template: TemplateName
    version: TemplateVersion | None = None
    """Version of the template; None: the latest when the batch ends."""
    on: Annotated[list[Result], Field(min_length=1, max_length=4)] = ["completed"]
    """Results of the batch with which it follows. A batch that ends with another one may be retried: the first end of
    a round with one of these counts."""
    parameters: Parameters = {}
    items: FollowUpItems | None = None
    summary: ParameterName | None = None
    """Parameter that takes the summary of the batch."""


class TemplateForm(Command):
    """Content of one version of a template, which never changes."""

    description: TemplateNote = ""
    parameters: Annotated[dict[str, Any], Field(max_length=20)] = {}
    """JSON Schema (draft 2020-12) of the parameters, an object; other parameters than its own are refused."""
    body: BatchBody
    fill: Annotated[dict[Place, FilledName], Field(max_length=100)] = {}
    """Parameters by the JSON Pointer to the place in `body` that takes their value, whatever its type. Built in are
    `@owner`, `@started_at`, and in a schedule `@nominal_at` (the time for which it is due) and `@previous_success_at`.
    A parameter without a value leaves what the body has there."""


class TemplateSave(TemplateForm):
    """Command that creates a template, or its next version."""

    type: ClassVar[str] = "template.save.v1"
    name: TemplateName
    shared: bool = False
    """True: all owners see the template; only operators may share one."""


class TemplateRun(Command):
    """Parameters of one submission of a template, and what it replaces in the batch."""

    parameters: Parameters = {}
    version: TemplateVersion | None = None
    """Version of the template; None: the latest."""
    name: Annotated[Text, StringConstraints(max_length=200)] | None = None
    """Name of the batch; None: that of the template's body."""
    priority: Priority | None = None
    not_before: Time | None = None
    batch_id: BatchId | None = None
    idempotency_key: IdempotencyKey | None = None


class TemplateSubmit(TemplateRun):
    """Command that submits a batch by a template: the owner's, or else a shared one. The reply is that to
    `batch.submit.v1`."""

    type: ClassVar[str] = "template.submit.v1"
    template: TemplateName


class TemplateControl(Command):
    """Command that makes the content of an earlier version of a template the latest one, or deletes the template with
    all its versions."""

    type: ClassVar[str] = "template.control.v1"
    name: TemplateName
    action: Literal["restore", "delete"]
    version: TemplateVersion | None = None
    """Version to restore."""

    @model_validator(mode="after")
    def _has_version(self) -> "TemplateControl":
        if (self.action == "restore") != (self.version is not None):
            raise ValueError("`restore` takes the version to restore, and `delete` takes none")
        return self


class TemplateSaved(Message):
    """Reply to `template.save.v1` and to `restore`: the version that was created, or the latest one with the same
    content."""

    type: ClassVar[str] = "template.saved.v1"
    name: TemplateName
    owner: Owner | None = None
    """Owner of the template; None: it is shared."""
    version: TemplateVersion
    at: Time
