"""Debian's Chromium, which the tests of the dashboard drive; it is installed where that is possible."""

import os
import shutil
import subprocess

import pytest

START_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")


def chromium_program() -> str:
    """Return the path of Chromium. Without it the tests are skipped, or fail if CI is set."""
    if (found := shutil.which("chromium")) is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (("update",), ("install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core")):
            subprocess.run((*_APT, *words), check=True, env=environment, stdout=subprocess.DEVNULL)
        if (found := shutil.which("chromium")) is not None:
            return found
    missing = "Chromium is missing: apt-get install --no-install-recommends chromium"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
