"""Every path that the documentation names exists, and the two guides to the code are complete."""

import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import PAGES, ROOT, name_of, prose, rows

_PATH = re.compile(r"`((?:services|dashboard|shared|contracts|devstack|benchmarks|docs|examples|k8s|tests)/[^`\s]*)`")
_PLACEHOLDER = re.compile(r"<[a-z]+>")
_DATED = ("CHANGELOG.md",)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in _DATED], ids=name_of)
def test_every_path_exists(page: Path) -> None:
    paths = set(_PATH.findall(prose(page)))
    missing = [path for path in paths if not list(ROOT.glob(_PLACEHOLDER.sub("*", path).rstrip("/")))]
    assert sorted(missing) == []


def test_each_word_of_the_glossary_has_one_sentence_and_one_place() -> None:
    words = rows(prose(ROOT / "docs" / "glossary.md"))
    assert len(words) >= 40
    for word, meaning, place in words:
        assert re.fullmatch(r"[A-Z].*[^.]\.", meaning), word
        assert ". " not in meaning, word
        assert _PATH.fullmatch(place), word
    names = [word for word, _, _ in words]
    assert len(set(names)) == len(names)


def test_the_guide_to_changes_answers_each_question_with_one_path() -> None:
    section = prose(ROOT / "CONTRIBUTING.md").split("## Where does my change go?")[1].split("\n## ")[0]
    answers = rows(section)
    assert len(answers) >= 10
    for question, path, note in answers:
        assert _PATH.fullmatch(path), question
        assert note, question
