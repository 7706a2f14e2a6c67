"""States before and after a command, as the audit shows them: without payloads and without values of patches."""

from typing import Any

from batchyard_contracts.v1.commands import BatchControl
from batchyard_contracts.v1.values import Terms
from services.ingest.domain.batch import BatchHeader

_SELECTED = ("codes", "causes", "partitions", "statuses")
"""Parts of a selection that are shown; ordinals and custom ids are counted."""


def control_states(
    header: BatchHeader, command: BatchControl, retried: int | None
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the states before and after a command that controls a batch."""
    if command.action == "change":
        changes = command.model_dump(
            mode="json", include={"priority", "clear", *Terms.model_fields}, exclude_defaults=True
        )
        terms = header.terms.model_dump(mode="json", exclude_defaults=True)
        return {"priority": header.priority, "terms": terms}, changes
    if command.action == "retry":
        after: dict[str, Any] = {"round": header.round + 1, "items": retried}
        if command.select is not None:
            select = command.select.model_dump(mode="json", exclude_defaults=True)
            after["select"] = {
                name: value if name in _SELECTED else len(value) if isinstance(value, list) else value
                for name, value in select.items()
            }
        if command.patch:
            after["patch"] = [{"op": one.get("op"), "path": one.get("path")} for one in command.patch]
        return {"round": header.round}, after
    return {"state": header.state, "round": header.round}, {"action": command.action}
