"""Fixtures of the checks of deployment files: the compose file, and each overlay in turn."""

import pytest

from tests.support.deployment import OVERLAYS, Json, compose_file, rendered


@pytest.fixture
def compose() -> Json:
    """The compose file with its defaults."""
    return compose_file()


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of an overlay."""
    return str(request.param)


@pytest.fixture
def objects(overlay: str) -> list[Json]:
    """All Kubernetes objects of an overlay."""
    return rendered(overlay)
