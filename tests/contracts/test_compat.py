"""The compatibility check against real git histories."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from batchyard_contracts.schema import compat
from batchyard_contracts.schema.compat import incompatible_changes

OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
WITH_OPTIONAL = {**OBJECT, "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": ""}}}
WITHOUT_A: dict[str, Any] = {"type": "object", "properties": {}}
WIDER = {**OBJECT, "properties": {"a": {"type": ["string", "null"]}}}


class Repository:
    """A git repository with a `contracts` folder, driven by the real git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contracts = folder / "contracts"
        self.contracts.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        argv = [str(shutil.which("git")), *identity, *arguments]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def put(self, **schemas: Any) -> None:
        """Write schemas by name, with `_` for the dots; None removes one."""
        (self.contracts / "schemas").mkdir(exist_ok=True)
        for name, schema in schemas.items():
            path = self.contracts / "schemas" / f"{name.replace('_', '.')}.json"
            path.unlink() if schema is None else path.write_text(json.dumps(schema))

    def commit(self, **schemas: Any) -> str:
        self.put(**schemas)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "step")
        return self.git("rev-parse", "HEAD")

    def check(self, *arguments: str) -> int:
        return compat.main(["--folder", str(self.contracts), *arguments])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Repository(tmp_path / "project")


def test_with_nothing_published_there_is_nothing_to_break(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.put(x_y_v1=OBJECT)
    assert repository.check() == 0
    assert "No published schemas" in capsys.readouterr().out
    repository.git("commit", "-q", "--allow-empty", "-m", "nothing yet")
    assert repository.check() == 0


def test_without_a_repository_there_is_nothing_to_compare_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert compat.main(["--folder", str(tmp_path)]) == 0


def test_the_first_commit_that_has_schemas_is_the_base(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit()
    first = repository.commit(x_y_v1=OBJECT)
    repository.commit(x_y_v1=WITH_OPTIONAL)
    assert repository.check() == 0
    assert f"1 messages are compatible with {first[:12]}" in capsys.readouterr().out

    repository.put(x_y_v1=WITHOUT_A)
    assert repository.check() == 1
    said = capsys.readouterr().out
    assert "x.y.v1: a: the field was removed" in said
    assert "Add a version 2 of the message beside it." in said


def test_the_newest_tag_comes_before_the_first_commit(repository: Repository) -> None:
    repository.commit(x_y_v1=WITH_OPTIONAL)
    repository.commit(x_y_v1=OBJECT)
    assert repository.check() == 1, "the field b was there at first"
    repository.git("tag", "v1")
    assert repository.check() == 0
    repository.commit(x_y_v1=WITH_OPTIONAL)
    repository.git("tag", "v2")
    repository.put(x_y_v1=OBJECT)
    assert repository.check() == 1
    assert repository.check("--base", "v1") == 0


def test_a_declared_commit_ends_the_time_of_drafts(repository: Repository) -> None:
    repository.commit(x_y_v1=WITH_OPTIONAL)
    published = repository.commit(x_y_v1=OBJECT)
    (repository.contracts / "pyproject.toml").write_text(f'[tool.batchyard]\ncompatible-since = "{published}"\n')
    assert repository.check() == 0
    repository.put(x_y_v1=WITHOUT_A)
    assert repository.check() == 1


def test_in_a_fresh_clone_the_base_is_found_too(repository: Repository, tmp_path: Path) -> None:
    repository.commit(x_y_v1=OBJECT)
    repository.commit(x_y_v1=WITHOUT_A)
    repository.git("clone", "-q", str(repository.folder), str(tmp_path / "clone"))
    assert compat.main(["--folder", str(tmp_path / "clone" / "contracts")]) == 1


def test_schemas_of_the_upstream_branch_are_the_published_ones(repository: Repository, tmp_path: Path) -> None:
    repository.commit(x_y_v1=WITH_OPTIONAL)
    repository.commit(x_y_v1=OBJECT)
    repository.git("clone", "-q", str(repository.folder), str(tmp_path / "clone"))
    clone = tmp_path / "clone" / "contracts"
    assert compat.main(["--folder", str(clone)]) == 1, "nothing differs from upstream, so the first commit is the base"
    (clone / "note").write_text("work of one's own")
    repository.git("-C", str(clone), "add", "-A")
    repository.git("-C", str(clone), "commit", "-q", "-m", "work")
    assert compat.main(["--folder", str(clone)]) == 0


def test_a_base_without_schemas_is_a_mistake(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    empty = repository.commit()
    repository.commit(x_y_v1=OBJECT)
    assert repository.check("--base", empty) == 2
    assert "name a commit that has them" in capsys.readouterr().out


def test_a_message_that_is_gone_is_a_break() -> None:
    assert incompatible_changes({"x.y.v1": OBJECT}, {}) == [
        "x.y.v1: the message was removed; keep it until nobody sends or reads it"
    ]
    assert incompatible_changes({}, {"x.y.v1": OBJECT}) == []


def test_messages_that_only_clients_send_may_grow_wider() -> None:
    assert incompatible_changes({"batch.submit.v1": OBJECT}, {"batch.submit.v1": WIDER}) == []
    assert incompatible_changes({"batch.finished.v1": OBJECT}, {"batch.finished.v1": WIDER}) == [
        "batch.finished.v1: a: `type` changed from 'string' to ['string', 'null']"
    ]
