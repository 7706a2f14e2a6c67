"""Seeds of the tests that look for faults with random input: a fixed one, and one of this run."""

import pytest

FIXED = 20261130


@pytest.fixture(params=["fixed", "random"])
def fuzz_seed(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> int:
    """The fixed seed, or that of this run of the tests, which `--randomly-seed=…` repeats."""
    chosen = FIXED if request.param == "fixed" else int(request.config.getoption("randomly_seed", FIXED))
    with capsys.disabled():
        print(f"\n{request.node.name}: seed {chosen}")  # noqa: T201  so that the log of a run has it
    return chosen
