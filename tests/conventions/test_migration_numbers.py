"""Migrations of a service have consecutive numbers: that two branches added the same one is noticed when they meet."""

from pathlib import Path

import pytest

from tests.support.source import ROOT

FOLDERS = sorted(ROOT.glob("services/*/persistence/migrations"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parents[1].name)
def test_each_number_is_given_once_and_none_is_left_out(folder: Path) -> None:
    numbers = sorted(int(path.name.partition("_")[0]) for path in folder.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))
