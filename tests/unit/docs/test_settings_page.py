"""The page of settings is current and complete, and its examples are values that the services accept."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from pydantic_settings import BaseSettings

from devstack.settings_page import FILE, command_line_rows, main, page, rows, settings_classes, variable
from tests.support.source import modules
from tests.unit.docs.pages import PAGES, ROOT

CLASSES = settings_classes()
FIELDS = [(owner, name) for owner in CLASSES.values() for name in owner.model_fields]
_NAME = re.compile(r"\bBATCHYARD_[A-Z0-9_]*[A-Z0-9]\b(?!_)")
_MARK_OF_PROCESSES = "BATCHYARD_STACK"


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("BATCHYARD_", "OTEL_", "XDG_"))]:
        monkeypatch.delenv(name)


def has_number(annotation: object) -> bool:
    return annotation in (int, float, Decimal) or any(has_number(part) for part in get_args(annotation))


def documented() -> set[str]:
    found = {row.name for owner in CLASSES.values() for row in rows(owner)}
    return found | {row.name for row in command_line_rows()}


def test_the_page_is_generated_anew() -> None:
    assert FILE.read_text("utf-8") == page(), "Run `python -m devstack.settings_page` and commit the page."
    assert main(["--check"]) == 0


def test_a_page_that_differs_is_reported_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devstack.settings_page.FILE", file := tmp_path / "settings.md")
    file.write_text("old", "utf-8")
    assert main(["--check"]) == 1
    assert "python -m devstack.settings_page" in capsys.readouterr().out
    assert file.read_text("utf-8") == "old"
    assert main([]) == 0
    assert file.read_text("utf-8") == FILE.read_text("utf-8")


@pytest.mark.parametrize("owner", CLASSES.values(), ids=lambda owner: owner.__name__)
def test_every_setting_has_a_meaning_and_an_example_that_is_accepted(
    owner: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    unexplained = [row.name for row in rows(owner) if not row.meaning or (row.default == "none" and not row.example)]
    assert unexplained == []
    for row in rows(owner):
        monkeypatch.setenv(row.name, row.example or row.default)
        owner()
    own = {row.name for row in rows(owner)}
    examples = [
        name for name in owner.model_fields if owner.model_fields[name].examples and variable(owner, name) in own
    ]
    settings = owner()
    assert [name for name in examples if not getattr(settings, name)] == []


def test_every_number_has_a_least_and_a_greatest_value() -> None:
    numbers = {variable(owner, name) for owner, name in FIELDS if has_number(owner.model_fields[name].annotation)}
    by_meaning = {"BATCHYARD_DELIVERY_SCHEDULE"}
    found = [row for owner in CLASSES.values() for row in rows(owner) if row.name in numbers - by_meaning]
    assert len(found) > 40
    assert [row.name for row in found if " to " not in row.bounds] == []


def test_every_key_is_marked_as_a_secret_and_hidden_from_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = {row.name for owner in CLASSES.values() for row in rows(owner) if row.is_secret}
    keys = {variable(owner, name) for owner, name in FIELDS if re.search(r"(^|_)(key|secret|api_tokens)$", name)}
    assert keys - marked == set()
    assert {"BATCHYARD_AMQP_URL", "BATCHYARD_SMTP_URL", "BATCHYARD_HTTP_CALLS_CREDENTIALS"} <= marked
    for owner in CLASSES.values():
        for row in rows(owner):
            monkeypatch.setenv(row.name, row.example or row.default)
        shown = repr(owner())
        assert [row.name for row in rows(owner) if row.is_secret and row.example and row.example in shown] == []


def test_every_class_that_reads_settings_is_on_the_page() -> None:
    sources = {file: (ROOT / file).read_text("utf-8") for file in modules() if file.parts[0] in ("services", "shared")}
    readers = {str(file) for file, text in sources.items() if re.search(r"\((\w*)Settings\):", text)}
    assert readers == {f"{owner.__module__.replace('.', '/')}.py" for owner in CLASSES.values()}


def test_every_variable_that_code_and_documents_name_is_on_the_page() -> None:
    files = [*(ROOT / file for file in modules()), *PAGES, ROOT / "docker-compose.yml", *(ROOT / "k8s").rglob("*.yaml")]
    named = {name: str(file) for file in files for name in _NAME.findall(file.read_text("utf-8"))}
    assert {name: file for name, file in named.items() if name not in documented() | {_MARK_OF_PROCESSES}} == {}
    assert len(named) > 60
