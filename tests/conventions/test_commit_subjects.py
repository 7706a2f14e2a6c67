"""A commit's subject names the component first and has at most 72 characters."""

import re
import subprocess

import pytest

from tests.support.source import ROOT

FIRST = "b4bd923"
"""The last commit before the rule."""
SUBJECT = re.compile(r"[a-z0-9.,_-]+( and [a-z0-9_-]+)?: \S")


def test_commit_subjects_name_the_component_in_at_most_72_characters() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    known = subprocess.run(["git", "cat-file", "-e", FIRST], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip("this checkout does not hold the commits")
    log = subprocess.run(
        ["git", "log", "--no-merges", "--format=%s", f"{FIRST}..HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [line for line in log.splitlines() if len(line) > 72 or not SUBJECT.match(line)] == []
