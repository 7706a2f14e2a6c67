"""No step that installs packages may resolve: each takes exactly what a lock names, checked by hash."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.lock import ROOT

READ = ("Makefile", "Dockerfile", "*.sh", ".ci/*", "*.py", "*.yml", "*.yaml", "*.mjs", "package.json")
RESOLVERS = {
    "python": re.compile(r"\bpip3? (?:-\S+ (?:\S+ )?)*(?:install|download|wheel)\b[^;&|)\n]*"),
    "uv": re.compile(r"\b(?:uv (?:pip (?:install|sync)|add|sync|run|tool)|uvx|pipx)\b[^;&|)\n]*"),
    "node": re.compile(r"\b(?:(?:npm|pnpm|yarn) (?:-\S+ (?:\S+ )?)*(?:install|i|ci|add|exec)|npx)\b[^;&|)\n]*"),
}


def fault(step: str) -> str | None:
    """Say why this step could resolve, or None: it takes what a lock names, or nothing but this checkout."""
    words = step.split()
    if words[0] in {"npm", "pnpm", "yarn", "npx"}:
        resolves = words[0] != "npm" or "ci" not in words
        return (
            "use `npm ci`, which takes the lock as it is" if resolves and "--package-lock-only" not in words else None
        )
    if "sync" in words and words[:2] == ["uv", "pip"]:
        return None if {"--require-hashes", "--only-binary"} <= {*words} else "add --require-hashes --only-binary :all:"
    if words[0] in {"uv", "uvx", "pipx"}:
        return "use `uv pip sync --require-hashes --only-binary :all:` with a lock"
    if "--no-deps" not in words:
        return "add --no-deps: without it pip resolves"
    own = {"--no-build-isolation", "--no-index"} & {*words} and not {"-r", "--requirement"} & {*words}
    if own or {"--require-hashes", "--only-binary"} <= {*words}:
        return None
    return "add --require-hashes --only-binary :all: (a package), or --no-build-isolation or --no-index (own files)"


def steps(text: str) -> list[str]:
    """The commands of a file that install packages, whether it writes them as a command line or as an argument list."""
    plain = re.sub(r"\\\n\s*", " ", text)
    plain = re.sub(r"\*options\b", lambda _: " ".join(re.findall(r"options = \((.*?)\)", text)), plain)
    plain = re.sub(r"(?<=[\"'])\)", "", plain)  # the end of a call that finds the program
    plain = re.sub(r"[\"']", "", re.sub(r",\s*", " ", plain))
    return [" ".join(found[0].split()) for pattern in RESOLVERS.values() for found in pattern.finditer(plain)]


def faults(text: str) -> dict[str, str]:
    return {step: why for step in steps(text) if (why := fault(step)) is not None}


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *READ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    here = Path(__file__).relative_to(ROOT)
    return [Path(name) for name in listed.split("\0") if name and Path(name) != here]


def test_no_step_of_any_set_up_can_resolve() -> None:
    found = {str(file): why for file in files() if (why := faults((ROOT / file).read_text("utf-8")))}

    assert found == {}


@pytest.mark.parametrize("file", [".ci/setup", ".ci/dashboard", "Dockerfile", "benchmarks/peers/environment.py"])
def test_the_steps_of_each_set_up_are_seen(file: str) -> None:
    assert steps((ROOT / file).read_text("utf-8"))


@pytest.mark.parametrize(
    "step",
    [
        ".venv/bin/python -m pip install -qq --require-hashes -r requirements.lock",
        "$(BIN)/python -m pip install --quiet uv",
        'await _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(requirements))',
        "RUN python -m pip install --no-index --find-links /wheels hatchling",
        'python -m pip --python /opt/batchyard install --no-index --find-links /wheels "batchyard[otlp]"',
        "pip install --no-deps -r requirements.lock",
        "pip install -e .",
        "uv pip install -r requirements.lock",
        "uv run pytest",
        "uvx ruff",
        "npm install --no-package-lock",
        'await _run(cluster, _program("npm"), "install", "--no-audit", cwd=folder)',
        "npx vite",
    ],
)
def test_a_step_that_could_resolve_is_found(step: str) -> None:
    assert faults(step)
