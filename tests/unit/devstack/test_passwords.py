"""Passwords of a stack: made once, by whoever asks first, and readable by their user alone."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.passwords import PASSWORDS_FILE, administrator_password, passwords_of


def test_passwords_are_made_once_and_differ(tmp_path: Path) -> None:
    first = passwords_of(tmp_path / "home", ["ingest", "worker"])
    assert len(set(first.values())) == 2
    assert all(len(password) >= 32 for password in first.values())
    second = passwords_of(tmp_path / "home", ["worker", "ann", "ingest"])
    assert {name: second[name] for name in first} == first
    assert administrator_password(tmp_path / "home") not in second.values()


def test_their_file_is_closed_to_others(tmp_path: Path) -> None:
    passwords_of(tmp_path, ["ingest"])
    assert stat.S_IMODE((tmp_path / PASSWORDS_FILE).stat().st_mode) == 0o600


def test_a_file_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / PASSWORDS_FILE).touch(mode=0o644)
    passwords_of(tmp_path, ["ingest"])
    assert stat.S_IMODE((tmp_path / PASSWORDS_FILE).stat().st_mode) == 0o600


def test_processes_that_ask_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: passwords_of(tmp_path, ["one", f"other{number % 4}"]), range(40)))
    assert len({passwords["one"] for passwords in found}) == 1
    assert passwords_of(tmp_path, ["other0"])["other0"] in {passwords.get("other0") for passwords in found}


@pytest.mark.parametrize("text", ["[1]", "{", '"x"'])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / PASSWORDS_FILE).write_text(text)
    with pytest.raises(StackError, match="Delete it"):
        passwords_of(tmp_path, ["ingest"])
