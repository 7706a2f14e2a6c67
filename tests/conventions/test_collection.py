"""The tests have the same names in every process: pytest-xdist runs nothing if two of its workers disagree."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COLLECT = (
    "-m",
    "pytest",
    "tests/unit",
    "tests/contracts",
    "--collect-only",
    "-q",
    "-n0",
    "-p",
    "no:randomly",
    "--no-cov",
)


def _start(hash_seed: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.Popen(
        [sys.executable, *_COLLECT],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_tests_are_named_alike_whatever_the_order_of_sets() -> None:
    collecting = [_start(seed) for seed in ("1", "2")]
    first, second = (process.communicate(timeout=300)[0].splitlines() for process in collecting)
    assert [process.returncode for process in collecting] == [0, 0], first[-10:] + second[-10:]
    names = [[line for line in lines if "::" in line] for lines in (first, second)]
    assert len(names[0]) > 1000
    assert [(one, two) for one, two in zip(*names, strict=True) if one != two] == []
