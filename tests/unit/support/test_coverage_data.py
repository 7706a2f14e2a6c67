"""The record of the probes is reported like the findings of the tracer of coverage.py."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage, CoverageData
from slipcover import FileMatcher, ImportManager, Slipcover

from tests.support.coverage_data import arcs

SAMPLE = '''
"""Every kind of branch."""
import contextlib
import functools


@functools.cache
def ways(n):
    if n == 0:
        return "none"
    elif n == 1:
        found = "one"
    elif n == 5:
        found = "five"
    else:
        found = "many"
    for i in range(n):
        if i == 2:
            break
    else:
        found += "!"
    while n:
        n -= 1
        if n == 40:
            continue
    while True:
        if found:
            break
    try:
        int(found)
    except TypeError:
        found = 1
    except ValueError:
        found = (
            2
        )
    finally:
        n += 1
    with contextlib.suppress(KeyError):
        for _ in range(n):
            if n == 30:
                return 30
    match found:
        case 1:
            return "a"
        case 2 if n:
            n = 7
        case _:
            return "b"

    def inner():
        if n == 9:
            found = 4
            return found

    if n == 8:
        pass
    for _ in [1]:
        try:
            if n:
                return inner()
        finally:
            n += 1


ways(0)
ways(1)
if ways(3) == 30:
    never = 1
'''


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample_of_branches.py"
    path.write_text(SAMPLE, encoding="utf-8")
    return path


def test_probes_and_the_tracer_report_the_same(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced, recorded = str(sample.with_suffix(".traced")), str(sample.with_suffix(".recorded"))
    tracer = (sys.executable, "-m", "coverage", "run", "--branch", f"--data-file={traced}", sample.name)
    subprocess.run(tracer, cwd=sample.parent, check=True)

    probes = Slipcover(branch=True, d_miss_threshold=-1)
    monkeypatch.syspath_prepend(sample.parent)
    with ImportManager(probes, FileMatcher(sources=[str(sample.parent)])):
        importlib.import_module(sample.stem)
    (found,) = probes.get_coverage()["files"].values()
    branches = {(start, end) for start, end in found["executed_branches"]}
    branching = {start for start, _ in (*branches, *found["missing_branches"])}
    data = CoverageData(recorded)
    data.add_arcs({str(sample): arcs(SAMPLE, set(found["executed_lines"]), branches, branching)})
    data.write()

    report = _report(recorded)
    assert report == _report(traced)
    assert all(report[kind] for kind in ("executed_lines", "missing_lines", "executed_branches", "missing_branches"))


def _report(data_file: str) -> dict[str, Any]:
    coverage = Coverage(data_file, config_file=False)
    coverage.load()
    coverage.json_report(outfile=f"{data_file}.json")
    (file,) = json.loads(Path(f"{data_file}.json").read_text("utf-8"))["files"].values()
    return {kind: file[kind] for kind in file if kind.endswith(("_lines", "_branches"))}


def test_an_empty_file_has_no_branches() -> None:
    assert arcs("", set(), set(), set()) == set()
