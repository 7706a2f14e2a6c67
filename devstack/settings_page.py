"""Generator of `docs/settings.md` from the classes that read settings: `python -m devstack.settings_page [--check]`.

With `--check` it writes nothing, and exits with 1 when the page differs from what the classes say.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from batchyard_contracts.schema.generated_file import keep_current
from devstack.stack import PROJECT

FILE = PROJECT / "docs" / "settings.md"
SERVICES = ("ingest", "dispatcher", "worker", "aggregator", "notifier")
_UNITS = {"_s": "s", "_ms": "ms", "_days": "days", "_mb": "MB", "_bytes": "bytes", "_m": "m", "_kmh": "km/h"}
_HEAD = "| variable | meaning | unit | default | bounds | example |\n| --- | --- | --- | --- | --- | --- |\n"
_INTRODUCTION = """# Settings

Settings are environment variables. A service reads them when it starts, and refuses a wrong value with one sentence
that names the variable. An empty variable counts as one that is not set. This page is generated from the classes that
read the settings: `python -m devstack.settings_page` writes it.

* `batchyard status` shows which Batchyard the commands use, and `batchyard env` prints the variables by which clients
  of this machine reach the local cluster.
* **Secret** marks a variable that holds a key or may hold a password. No log, error or page of Batchyard shows its
  value. Set it from a secret store.
* Where no example is given, the default is one. Bounds include their ends unless "above" is said.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One variable."""

    name: str
    meaning: str
    default: str
    example: str
    is_secret: bool
    unit: str = ""
    bounds: str = ""

    def line(self) -> str:
        """Return the row of the table."""
        cells = (
            f"`{self.name}`",
            f"{self.meaning}{' · **secret**' if self.is_secret else ''}",
            self.unit,
            self.default if self.default == "none" or " " in self.default else _code(self.default),
            self.bounds,
            _code(self.example),
        )
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def settings_classes() -> dict[str, type[BaseSettings]]:
    """Return the classes that read settings, by the heading of their section: every service's, then each workload's."""
    found = {"All services": _own_class("shared.runtime.settings")}
    found["Workers and the aggregator"] = _own_class("shared.artefacts.settings")
    found |= {f"The service `{name}`": _own_class(f"services.{name}.settings") for name in SERVICES}
    workloads = Path("services/worker/workloads")
    for file in sorted((PROJECT / workloads).glob("*/settings.py")):
        module = ".".join((*workloads.parts, file.parent.name, "settings"))
        found[f"The workload `{file.parent.name}`"] = _own_class(module)
    return found


def variable(owner: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a field."""
    alias = owner.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"{owner.model_config['env_prefix']}{name}".upper()


def rows(owner: type[BaseSettings]) -> list[Row]:
    """Return the variables that a class reads and its base does not, or not with this default."""
    base = owner.__mro__[1]
    inherited = base.model_fields if issubclass(base, BaseSettings) else {}
    return [
        _row(variable(owner, name), name, field)
        for name, field in owner.model_fields.items()
        if name not in inherited or inherited[name].default != field.default
    ]


def page() -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION]
    for heading, owner in settings_classes().items():
        parts.append(f"\n## {heading}\n\n{_HEAD}" + "".join(row.line() for row in rows(owner)))
    parts.append(f"\n## The command line and the local cluster\n\n{_HEAD}")
    parts += [row.line() for row in command_line_rows()]
    return "".join(parts)


def command_line_rows() -> list[Row]:
    """Return the variables that the command line reads beside those of the services."""
    variables = import_module("services.cli.client.variables").VARIABLES
    return [Row(one.name, one.meaning, one.default, one.example, one.is_secret) for one in variables]


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    return keep_current(FILE, page(), "devstack.settings_page", arguments)


def _own_class(module: str) -> type[BaseSettings]:
    """Return the one class of settings that a module defines."""
    (own,) = [
        one
        for one in vars(import_module(module)).values()
        if isinstance(one, type) and issubclass(one, BaseSettings) and one.__module__ == module
    ]
    return own


def _row(name: str, field_name: str, field: FieldInfo) -> Row:
    (example,) = field.examples or [""]
    unit = next((unit for suffix, unit in _UNITS.items() if field_name.endswith(suffix)), "")
    is_secret = field.repr is False or SecretStr in _types(field.annotation)
    return Row(name, field.description or "", _default(field), example, is_secret, unit, _bounds(field))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or (not isinstance(value, bool | int | float) and not value):
        return "none"
    if isinstance(value, tuple):
        return ",".join(_number(each) for each in value)
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value).lower() if isinstance(value, bool) else _number(value)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _bounds(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    if own := _limits(field.metadata):
        return own
    nested = [text for each in _annotations(field.annotation) if (text := _limits(each))]
    return f"each value {nested[-1]}" if nested else ""


def _limits(metadata: Sequence[object]) -> str:
    """Return the bounds of a number or of the length of a text; empty if there are none."""
    least = next((f"{one.ge:,}" for one in metadata if isinstance(one, Ge)), "")
    above = next((f"above {one.gt:,g}" for one in metadata if isinstance(one, Gt)), "")
    most = next((f"{one.le:,}" for one in metadata if isinstance(one, Le)), "")
    shortest = next((f"{one.min_length} characters or more" for one in metadata if isinstance(one, MinLen)), "")
    longest = next((f"{one.max_length:,} characters or less" for one in metadata if isinstance(one, MaxLen)), "")
    return " to ".join(filter(None, (least or above, most))) or ", ".join(filter(None, (shortest, longest)))


def _annotations(annotation: object) -> Iterator[Sequence[object]]:
    """Yield the constraints of each annotated part of a type."""
    for part in get_args(annotation):
        yield from _annotations(part)
        if isinstance(part, FieldInfo):
            yield part.metadata


def _types(annotation: object) -> set[object]:
    """Return all types that a type is made of, fields of models included."""
    found = {annotation} if isinstance(annotation, type) else set[Any]()
    for part in get_args(annotation):
        found |= _types(part)
    for model in [one for one in found if isinstance(one, type) and issubclass(one, BaseModel)]:
        for field in model.model_fields.values():
            found |= _types(field.annotation)
    return found


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
