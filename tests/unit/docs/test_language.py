"""The pages that people read, and the help of the command line, use plain words, working links and real commands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from services.cli.app import app
from tests.unit.docs.pages import PAGES, anchors, headings, name_of, prose

COMMAND: Any = get_command(app)
_YARD = re.compile(r"\byards?\b", re.IGNORECASE)
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_COMMAND = re.compile(r"(?:^|`)batchyard ([a-z][a-z-]*)", re.MULTILINE)
_LINE = re.compile(r"(?:^|`|\| )batchyard ([a-z][^`\n]*)", re.MULTILINE)
_TEXTS = re.compile(r"'[^']*'|#.*|\|\|.*")
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")
_RIDDLES = ("What ", "Whether ", "How ", "Who ", "Of ", "Those ", "The same")
_OPENING = re.compile(
    r"(?:^|[.!?] |^\s*\* |\*\*|^\d+\. )(?:What|Whether|How|Who|Of|Those|The same) [a-z][^?\n]*$", re.MULTILINE
)
"""A sentence that is no question and does not begin with its subject."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_says_yard(page: Path) -> None:
    assert not _YARD.findall(page.read_text("utf-8"))


def test_no_help_says_yard() -> None:
    texts = [text for command in _commands(COMMAND) for text in _texts(command)]
    assert len(texts) > 50
    assert [text for text in texts if _YARD.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_title_of_a_page_is_a_noun(page: Path) -> None:
    assert not headings(page)[0].startswith(_RIDDLES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sentences_of_a_page_begin_with_their_subject(page: Path) -> None:
    assert [found.group()[:60] for found in _OPENING.finditer(prose(page))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for path, anchor in _LINK.findall(prose(page)):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    known = {command.name for command in _commands(COMMAND)}
    assert set(_COMMAND.findall(page.read_text("utf-8"))) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_of_commands_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8").replace("\\\n", " ")
    wrong = []
    for line in _LINE.findall(text):
        command = COMMAND
        for word in line.split():
            if word not in getattr(command, "commands", {}):
                break
            command = command.commands[word]
        known = {option for each in (*command.params, *COMMAND.params) for option in each.opts} | {"--help"}
        wrong += [f"{line}: {option}" for option in _OPTION.findall(_TEXTS.sub("", line)) if option not in known]
    assert wrong == []


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _commands(each)


def _texts(command: Any) -> Iterator[str]:
    yield from filter(None, (command.help, command.epilog, command.short_help))
    yield from (text for each in command.params if (text := getattr(each, "help", None)))
