"""Compatibility check of the schemas with the published ones: `python -m batchyard_contracts.schema.compat [--base
REF]`.

A message keeps its version while every body that was ever sent stays readable and, if services send it, while older
readers can read new bodies. Optional fields may be added; any other change makes a new version beside the old one.

The published schemas are those of the first of these commits that has some: the newest tag; the commit named by
`compatible-since` under `[tool.batchyard]` in `contracts/pyproject.toml`; the upstream branch, if it differs from the
checked-out commit; the first commit with schemas.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchyard_contracts.schema.asyncapi import CLIENT, SENDERS
from batchyard_contracts.schema.evolution import Schema, narrowing_changes, widening_changes
from batchyard_contracts.schema.export import HOME, SCHEMAS

Schemas = Mapping[str, Schema]


def incompatible_changes(base: Schemas, now: Schemas) -> list[str]:
    """List the incompatible changes, one sentence each: message, place, reason."""
    found = []
    for name, old in sorted(base.items()):
        if name not in now:
            found.append(f"{name}: the message was removed; keep it until nobody sends or reads it")
            continue
        found += [f"{name}: {one}" for one in narrowing_changes(old, now[name])]
        if SENDERS.get(name) != (CLIENT,):  # services send it too, and theirs may be newer than its readers
            found += [f"{name}: {one}" for one in widening_changes(old, now[name])]
    return found


@dataclass(frozen=True, slots=True)
class History:
    """Git history of a folder with `schemas/`."""

    folder: Path

    def base(self) -> str | None:
        """Commit to compare with; None if nothing was published yet, or git is not available."""
        for ref in (self._newest_tag(), self._declared(), self._upstream(), self._first()):
            commit = (self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}") or "").strip() if ref else ""
            if commit and self._git("ls-tree", "--name-only", commit, f"{SCHEMAS}/"):
                return commit
        return None

    def files(self, ref: str, below: str) -> dict[str, str]:
        """Texts of the files below a path at a commit, by path."""
        listed = self._git("ls-tree", "-r", "-z", "--name-only", ref, f"{below}/") or ""
        return {name: self._git("show", f"{ref}:./{name}") or "" for name in listed.split("\0") if name}

    def published(self, file: str) -> tuple[str, str] | None:
        """Commit that published a file, and its text there: the newest tag, else the first commit that has the file."""
        added = self._git("log", "--diff-filter=A", "--format=%H", "--reverse", "--", file) or ""
        for ref in (self._newest_tag(), added.partition("\n")[0]):
            if ref and (text := self._git("show", f"{ref}:./{file}")):
                return ref, text
        return None

    def _newest_tag(self) -> str | None:
        return (self._git("describe", "--tags", "--abbrev=0") or "").strip() or None

    def _declared(self) -> str | None:
        settings = self.folder / "pyproject.toml"
        if not settings.is_file():
            return None
        declared = tomllib.loads(settings.read_text("utf-8")).get("tool", {}).get("batchyard", {})
        ref: str | None = declared.get("compatible-since")
        return ref

    def _upstream(self) -> str | None:
        head = self._git("rev-parse", "HEAD")
        for ref in ("refs/remotes/origin/HEAD", "refs/remotes/origin/main"):
            commit = self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
            if commit and commit != head:
                return commit.strip()
        return None

    def _first(self) -> str | None:
        added = self._git("log", "--diff-filter=A", "--format=%H", "--reverse", "--", f"{SCHEMAS}/")
        return added.split("\n", 1)[0] if added else None

    def _git(self, *arguments: str) -> str | None:
        """Output of a git command; None if it fails or git is not available, as in an unpacked archive."""
        program = shutil.which("git")
        if program is None:
            return None
        done = subprocess.run(  # noqa: S603  a fixed program and arguments of our own
            [program, "-C", str(self.folder), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout if done.returncode == 0 else None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""

    parser = argparse.ArgumentParser(prog="python -m batchyard_contracts.schema.compat", description=__doc__)
    parser.add_argument("--base", help="the commit, tag or branch to compare with")
    parser.add_argument("--folder", type=Path, default=HOME, help="the folder that holds schemas/ (%(default)s)")
    options = parser.parse_args(arguments)
    history = History(options.folder)
    base = options.base or history.base()
    if base is None:
        sys.stdout.write("No published schemas to compare with yet.\n")
        return 0
    published = {_name(path): json.loads(text) for path, text in history.files(base, SCHEMAS).items()}
    if not published:
        sys.stdout.write(f"There are no schemas at {base}: name a commit that has them.\n")
        return 2
    now = {_name(str(path)): json.loads(path.read_text("utf-8")) for path in options.folder.glob(f"{SCHEMAS}/*.json")}
    found = incompatible_changes(published, now)
    for line in found:
        sys.stdout.write(f"{line}\n")
    if found:
        sys.stdout.write(f"{len(found)} incompatible with {base[:12]}. Add a version 2 of the message beside it.\n")
    else:
        sys.stdout.write(f"{len(published)} messages are compatible with {base[:12]}.\n")
    return 1 if found else 0


def _name(path: str) -> str:
    return Path(path).name.removesuffix(".json")


if __name__ == "__main__":
    sys.exit(main())
