"""The locks are complete: each requirement of a locked package is met by a locked version, on every machine served."""

import pytest

from tests.support.lock import ENVIRONMENTS, ROOT, Pin, missing, not_installed, pins, roots

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
IMAGE = (ROOT / "requirements-image.lock").read_text("utf-8")
EVERYTHING = roots("batchyard", "batchyard-contracts")
RUNTIME = roots("batchyard", extras=["otlp", "parquet", "s3"])


def gaps(lock: list[Pin]) -> set[tuple[str, str]]:
    return {gap for environment in ENVIRONMENTS for gap in missing(lock, EVERYTHING, environment)}


def test_the_lock_is_what_is_installed() -> None:
    assert not_installed(pins(LOCK)) == {}, "The environment is not that of the lock. `make clean`, then try again."


def test_the_lock_meets_every_requirement_of_its_packages() -> None:
    assert gaps(pins(LOCK)) == set()


def test_the_image_lock_meets_every_requirement_of_the_image() -> None:
    found = {gap for environment in ENVIRONMENTS for gap in missing(pins(IMAGE), RUNTIME, environment)}

    assert found == set()


def test_the_image_lock_has_no_version_of_its_own() -> None:
    versions = {(pin.name, pin.version, str(pin.requirement.marker)) for pin in pins(LOCK)}

    assert {(pin.name, pin.version, str(pin.requirement.marker)) for pin in pins(IMAGE)} <= versions


@pytest.mark.parametrize("taken", ["coverage", "idna", "pluggy", "pydantic-core", "numpy", "uvloop", "pamqp"])
def test_a_lock_without_one_of_its_lines_is_found(taken: str) -> None:
    copy = "\n".join(line for line in LOCK.splitlines() if not line.startswith((f"{taken}==", f"{taken}[")))

    assert copy != LOCK
    found = {requirement for _, requirement in gaps(pins(copy))}
    assert any(requirement.startswith(taken) for requirement in found), found


def test_a_lock_with_a_version_that_does_not_fit_is_found() -> None:
    (pydantic,) = [pin for pin in pins(LOCK) if pin.name == "pydantic-core"]
    copy = LOCK.replace(f"pydantic-core=={pydantic.version}", "pydantic-core==1.0.0")

    assert [by for by, _ in gaps(pins(copy))] == ["pydantic"]


def test_no_line_of_the_lock_is_needless() -> None:
    """A line that nothing requires any more would be installed for ever."""
    whole = pins(LOCK)
    for pin in {pin.name: pin for pin in whole if "win32" not in str(pin.requirement.marker)}.values():
        applies = pin.requirement.marker is None or any(map(pin.requirement.marker.evaluate, map(dict, ENVIRONMENTS)))
        if applies:
            assert gaps([other for other in whole if other.name != pin.name]), f"Nothing requires {pin.name}."
