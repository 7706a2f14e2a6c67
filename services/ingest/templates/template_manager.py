"""Saves templates, and submits batches by them."""

from collections.abc import Callable
from datetime import datetime

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.templates import TemplateRun, TemplateSave
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.json_difference import Difference, differences
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.template import SHARED, Template, check_template, command_of, form_of
from services.ingest.persistence.template_store import TemplateStore
from services.ingest.submission.submit import BatchSubmitter

NOT_FOUND = Rejection(
    "template_not_found", "There is no such template or version. Check its name, and that it is yours or shared.", 404
)
_NOT_YOURS = Rejection("forbidden", "Only operators share templates, or change shared ones.", 403)


class TemplateManager:
    """The templates of owners. All methods raise `IngestError`."""

    def __init__(self, store: TemplateStore, submitter: BatchSubmitter, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._submitter = submitter
        self._clock = clock

    async def save(self, owner: str, command: TemplateSave, *, is_operator: bool) -> Template:
        """Create a template, or its next version."""
        if command.shared and not is_operator:
            raise IngestError(_NOT_YOURS)
        form = form_of(command)
        if rejection := check_template(form):
            raise IngestError(rejection)
        return await self._store.save(
            SHARED if command.shared else owner, command.name, str(form.body["workload"]), form, owner
        )

    async def get(self, owner: str, name: str, version: int | None = None) -> Template:
        """Return a version of a template, by default the latest."""
        found = await self._store.get(owner, name, version)
        if found is None:
            raise IngestError(NOT_FOUND)
        return found

    async def page(self, owner: str, after: str, limit: int, prefix: str = "") -> list[Template]:
        """Return the latest versions of the templates that an owner sees, whose names begin with `prefix`, by name."""
        return await self._store.page(owner, after, limit, prefix)

    async def versions(self, owner: str, name: str) -> list[Template]:
        """Return all versions of a template, the latest first."""
        found = await self._store.versions(owner, name)
        if not found:
            raise IngestError(NOT_FOUND)
        return found

    async def difference(self, owner: str, name: str, before: int, after: int | None) -> list[Difference]:
        """Return what differs between two versions; `after` None: the latest."""
        first, second = await self.get(owner, name, before), await self.get(owner, name, after)
        return differences(first.form.model_dump(mode="json"), second.form.model_dump(mode="json"))

    async def restore(self, owner: str, name: str, version: int, *, is_operator: bool) -> Template:
        """Make the content of an earlier version the latest one."""
        found = await self.get(owner, name, version)
        _check_right(found, is_operator=is_operator)
        return await self._store.save(found.owner, name, found.workload, found.form, owner)

    async def delete(self, owner: str, name: str, *, is_operator: bool) -> None:
        """Delete a template with all its versions."""
        found = await self.get(owner, name)
        _check_right(found, is_operator=is_operator)
        if not await self._store.delete(found.owner, name, owner):
            raise IngestError(NOT_FOUND)

    async def submit(self, owner: str, name: str, run: TemplateRun, message_id: str | None = None) -> CommandAccepted:
        """Submit a batch by a template."""
        command = await self.command(owner, name, run)
        return await self._submitter.submit(owner, command, message_id)

    async def command(
        self, owner: str, name: str, run: TemplateRun, built_in: dict[str, str | None] | None = None
    ) -> BatchSubmit:
        """Return the command that submits a batch by a template."""
        template = await self.get(owner, name, run.version)
        values = {"@owner": owner, "@started_at": self._clock().isoformat(), **(built_in or {})}
        command = command_of(template.form, run, values)
        if isinstance(command, Rejection):
            raise IngestError(command)
        return command


def _check_right(template: Template, *, is_operator: bool) -> None:
    if template.is_shared and not is_operator:
        raise IngestError(_NOT_YOURS)
