"""The image: small, unprivileged, made of nothing but what the lock names."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.support.deployment import ROOT, run_tool

INSTRUCTIONS = re.sub(r"\\\n|^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).splitlines()
FINAL = INSTRUCTIONS[max(at for at, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")) :]
NORMALIZED = re.compile(r"[-_.]+")


def argument(lines: list[str], keyword: str) -> str:
    (found,) = (line.removeprefix(keyword).strip() for line in lines if line.startswith(keyword + " "))
    return found


def locked() -> dict[str, str]:
    """The version of each package in the lock."""
    pins = re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE
    )
    return {NORMALIZED.sub("-", name).lower(): version for name, version in pins}


def test_hadolint_finds_nothing() -> None:
    run_tool("hadolint", "--failure-threshold", "style", "Dockerfile")


def test_runs_as_a_high_numeric_user() -> None:
    user, _, group = argument(FINAL, "USER").partition(":")

    assert int(user) > 10_000
    assert int(group) > 10_000


def test_services_get_the_signal_themselves() -> None:
    assert argument(FINAL, "STOPSIGNAL") == "SIGTERM"
    assert not [line for line in FINAL if line.startswith("ENTRYPOINT")]
    assert argument(FINAL, "CMD").startswith("["), "the shell form would put a shell before the service"


def test_all_stages_start_from_one_pinned_image() -> None:
    base = argument(INSTRUCTIONS, "ARG").removeprefix("PYTHON=")
    stages = [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")]

    assert set(stages) == {"python:${PYTHON}"}
    assert re.fullmatch(r"3\.11\.\d+-slim-\w+", base)


@pytest.mark.parametrize("folder", [".", "contracts"])
def test_build_backends_are_in_the_lock(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))
    backends = {re.split(r"[<>=~! \[]", requirement)[0] for requirement in project["build-system"]["requires"]}

    assert backends <= locked().keys()


def test_copied_files_pass_dockerignore() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        str(PurePosixPath(source))
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }

    assert rules[0] == "*"
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_dashboard_is_built_in_the_image_and_not_copied_into_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    build = [line for line in INSTRUCTIONS if ".ci/dashboard" in line]

    assert {"services/ingest/http/assets", "dashboard/node_modules"} <= {*ignored}
    assert len(build) == 1
    assert INSTRUCTIONS.index(build[0]) < next(at for at, line in enumerate(INSTRUCTIONS) if "--wheel-dir" in line)


def test_a_wheel_without_the_dashboard_is_refused(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "dashboard").mkdir()
    shutil.copy(ROOT / "dashboard" / "wheel_with_page.py", tmp_path / "dashboard")
    for package in ("shared", "services"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / ".gitignore").write_text("/services/ingest/http/assets/\n")

    assert "make dashboard" in _wheel(tmp_path).stderr

    assets = tmp_path / "services" / "ingest" / "http" / "assets"
    assets.mkdir(parents=True)
    (assets / "index.html").write_text("<!doctype html>")
    built = _wheel(tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert "services/ingest/http/assets/index.html" in zipfile.ZipFile(wheel).namelist()


def _wheel(folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_results_are_written_as_parquet_and_into_buckets() -> None:
    kept = (ROOT / "requirements-image.lock").read_text("utf-8")

    assert re.findall(r"^(obstore|pyarrow)==", kept, re.MULTILINE) == ["obstore", "pyarrow"]


def test_exports_have_a_folder_that_the_user_may_write() -> None:
    user, _, group = argument(FINAL, "USER").partition(":")

    assert f"install -d -o {user} -g {group} /exports" in "\n".join(FINAL)
