"""The part of the client for templates."""

from collections.abc import AsyncIterator

from batchyard_contracts.client.requesting import SendCommand, SendQuery, expect, pages
from batchyard_contracts.v1.commands import CommandAccepted, ControlAccepted
from batchyard_contracts.v1.queries import (
    MAX_TEMPLATES,
    TemplateQuery,
    TemplateReply,
    TemplatesQuery,
    TemplatesReply,
    TemplateState,
)
from batchyard_contracts.v1.templates import (
    TemplateControl,
    TemplateName,
    TemplateSave,
    TemplateSaved,
    TemplateSubmit,
    TemplateVersion,
)


class TemplateClient:
    """Templates that the owner sees. All methods raise the errors of `Client.send`, or those of `Client.query`."""

    def __init__(self, owner: str, query: SendQuery, send: SendCommand) -> None:
        self._owner, self._query, self._send = owner, query, send

    async def list(self, prefix: str = "") -> AsyncIterator[TemplateState]:
        """Yield the latest versions, by name; only names that begin with `prefix`."""
        query = TemplatesQuery(owner=self._owner, prefix=prefix, limit=MAX_TEMPLATES)
        async for reply in pages(self._query, query, TemplatesReply, "after"):
            for template in reply.templates:
                yield template

    async def versions(self, name: TemplateName) -> AsyncIterator[TemplateState]:
        """Yield the versions of a template, the latest first; none if there is no such template."""
        query = TemplatesQuery(owner=self._owner, name=name, limit=MAX_TEMPLATES)
        async for reply in pages(self._query, query, TemplatesReply, "below"):
            for template in reply.templates:
                yield template

    async def get(
        self,
        name: TemplateName,
        version: TemplateVersion | None = None,
        *,
        compare_with: TemplateVersion | None = None,
    ) -> TemplateReply:
        """A version with its content, the latest by default; with `compare_with`, what differs from that version.

        `found` of the reply is False if there is none.
        """
        query = TemplateQuery(owner=self._owner, name=name, version=version, compare_with=compare_with)
        return await self._query(query, TemplateReply)

    async def save(self, command: TemplateSave) -> TemplateSaved:
        """Create a template, or its next version."""
        return expect(await self._send(command), TemplateSaved)

    async def restore(self, name: TemplateName, version: TemplateVersion) -> TemplateSaved:
        """Make the content of an earlier version the latest one."""
        command = TemplateControl(name=name, action="restore", version=version)
        return expect(await self._send(command), TemplateSaved)

    async def delete(self, name: TemplateName) -> ControlAccepted:
        """Delete a template with all its versions."""
        return expect(await self._send(TemplateControl(name=name, action="delete")), ControlAccepted)

    async def submit(self, command: TemplateSubmit) -> CommandAccepted:
        """Submit a batch by a template."""
        return expect(await self._send(command), CommandAccepted)
