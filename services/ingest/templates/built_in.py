"""The templates that come with Batchyard. They are shared; operators may save further versions of them."""

from importlib.resources import files

from batchyard_contracts.v1.templates import TemplateSave
from services.ingest.domain.template import SHARED, form_of
from services.ingest.persistence.template_store import TemplateStore

_CREATOR = "batchyard"


def built_in_templates() -> list[TemplateSave]:
    """Return the templates of the folder `built_in`."""
    folder = files("services.ingest.templates") / "built_in"
    named = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return [TemplateSave.decode(file.read_bytes()) for file in named]


async def enter_built_in(store: TemplateStore) -> None:
    """Enter those that are not there yet."""
    for command in built_in_templates():
        await store.enter(SHARED, command.name, str(command.body["workload"]), form_of(command), _CREATOR)
